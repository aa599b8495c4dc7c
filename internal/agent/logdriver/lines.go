package logdriver

import (
	"bytes"
	"regexp"
	"time"
	"unicode/utf8"
)

// A splitter cuts one output into lines. A line longer than most is cut into
// pieces between characters, so that it takes no more memory than one piece,
// however long it is.
type splitter struct {
	source source
	most   int    // bytes of a piece
	held   []byte // the beginning of a line that has not ended
	begun  time.Time
	end    int64 // offset behind held
}

// add cuts a chunk that was read at the end of what was added before.
func (s *splitter) add(chunk []byte, at time.Time, emit func(event)) {
	for len(chunk) > 0 {
		if len(s.held) == 0 {
			s.begun = at
		}
		line, rest, ended := bytes.Cut(chunk, newline)
		if room := s.most - len(s.held); len(line) > room {
			s.hold(line[:room])
			s.cut(emit)
			chunk = chunk[room:]
			continue
		}
		s.hold(line)
		if !ended {
			return
		}
		s.end++
		s.emit(emit, s.held, true)
		chunk, s.held = rest, nil
	}
}

var newline = []byte{'\n'}

func (s *splitter) hold(b []byte) {
	s.held = append(s.held, b...)
	s.end += int64(len(b))
}

// cut emits what is held but for the beginning of a character at its end.
func (s *splitter) cut(emit func(event)) {
	n := len(s.held)
	for back := 1; back < utf8.UTFMax && back < n; back++ {
		if b := s.held[n-back]; utf8.RuneStart(b) {
			if !utf8.FullRune(s.held[n-back:]) {
				n -= back
			}
			break
		}
	}
	rest := bytes.Clone(s.held[n:])
	s.end -= int64(len(rest))
	s.emit(emit, s.held[:n], false)
	s.end += int64(len(rest))
	s.held = rest
}

// flush emits a last line without a newline, when no more will come.
func (s *splitter) flush(emit func(event)) {
	if len(s.held) > 0 {
		s.emit(emit, s.held, false)
		s.held = nil
	}
}

func (s *splitter) emit(emit func(event), text []byte, whole bool) {
	emit(event{source: s.source, time: s.begun, text: text, whole: whole, end: s.end})
}

// A joiner makes one event of several lines: one that matches begins an event, the
// others belong to the one before (awslogs-multiline-pattern).
type joiner struct {
	begins *regexp.Regexp
	most   int
	open   *event
	inLine bool // the last piece did not end its line: what comes next is no beginning
}

// add takes the next line. As in Docker each line of a joined event keeps its newline.
func (j *joiner) add(e event, emit func(event)) {
	begins := !j.inLine && j.begins.Match(e.text)
	j.inLine = !e.whole
	if e.whole {
		e.text = append(e.text, '\n')
	}
	if j.open != nil && (begins || len(j.open.text)+len(e.text) > j.most) {
		j.flush(emit)
	}
	if j.open == nil {
		j.open = &e
		return
	}
	j.open.text = append(j.open.text, e.text...)
	j.open.end, j.open.whole = e.end, e.whole
}

// since is when the open event was begun; zero where none is open.
func (j *joiner) since() time.Time {
	if j == nil || j.open == nil {
		return time.Time{}
	}
	return j.open.time
}

// flush emits the open event, when no more of it will come.
func (j *joiner) flush(emit func(event)) {
	if j.open != nil {
		emit(*j.open)
		j.open = nil
	}
}
