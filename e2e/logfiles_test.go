package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func putEvents(group, stream string, at time.Time, messages ...string) *cloudwatchlogs.PutLogEventsInput {
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
	for i, m := range messages {
		in.LogEvents = append(in.LogEvents, logtypes.InputLogEvent{Message: &m, Timestamp: aws.Int64(at.UnixMilli() + int64(i))})
	}
	return in
}

// logFiles are the files on this machine that a json-file log consists of, and their sizes.
func (s *server) logFiles(t *testing.T, container string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), container+"-json.log") {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				out[strings.TrimPrefix(d.Name(), container)] = info.Size()
			}
		}
		if os.IsNotExist(err) {
			return nil // others come and go meanwhile
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestJSONFile: the driver json-file keeps as many files of the size that was asked for, and the newest lines.
func TestJSONFile(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const count = 10_000
	j := s.job(t, s.probe("probe", fmt.Sprintf("lines=%d", count), "out=the end"))
	j.in.ContainerDefinitions[0].LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverJsonFile,
		Options: map[string]string{"max-size": "200k", "max-file": "3"}}
	task := j.start().stopped()
	files := s.logFiles(t, *part(t, task, "probe").RuntimeId)
	if len(files) != 3 {
		t.Errorf("files: %v", files)
	}
	for name, size := range files {
		if size > 200<<10+1000 {
			t.Errorf("%s has %d bytes", name, size)
		}
	}
	out, err := s.gantry("logs", j.arn, "probe")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if lines[len(lines)-1] != "the end" || len(lines) < 1000 {
		t.Fatalf("%d lines are kept; the last is %q", len(lines), lines[len(lines)-1])
	}
	for i, text := range lines[:len(lines)-1] {
		if want := line(count - (len(lines) - 1) + i); text != want {
			t.Fatalf("line %d is %q, want %q", i, text, want)
		}
	}
}

// TestGantryLogs: gantry logs, whatever the log driver, and how it says what it cannot do.
func TestGantryLogs(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for name, configuration := range map[string]*types.LogConfiguration{
		"awslogs": s.awslogs("gantry-logs"), "json-file": {LogDriver: types.LogDriverJsonFile}, "default": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := s.job(t, s.probe("probe", "out=one", "await=/gate/go", "out=two", "raw=three"))
			j.in.ContainerDefinitions[0].LogConfiguration = configuration
			open := j.gate()
			j.start().running()
			// Followed from its beginning to its end, by the beginning of the task's id.
			followed := new(output)
			ctx, cancel := context.WithTimeout(t.Context(), stateWithin)
			defer cancel()
			follow := exec.CommandContext(ctx, program(), "logs", "--follow", id(j.arn)[:12], "--data-dir", s.dir)
			follow.Env, follow.Stdout, follow.Stderr = clean(), followed, os.Stderr
			if err := follow.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the first line", func() (bool, string) { out := followed.String(); return out == "one\n", out })
			open("go")
			err := follow.Wait()
			out := followed.String()
			if want := "one\ntwo\nthree"; err != nil || strings.TrimSpace(out) != want {
				t.Errorf("followed: %q, %v", out, err)
			}
			j.stopped()
			if again, err := s.gantry("logs", j.arn, "probe"); err != nil || again != out {
				t.Errorf("afterwards: %q, %v", again, err)
			}
		})
	}
	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		j := s.job(t, s.probe("one", "wait"), s.probe("two", "wait"))
		none := s.probe("none", "wait")
		none.LogConfiguration = nil
		j.start().running()
		for _, test := range []struct {
			args []string
			want string
		}{
			{[]string{"logs", "0123456789"}, "0123456789"},
			{[]string{"logs", j.arn}, "one, two"},
			{[]string{"logs", j.arn, "three"}, "three"},
		} {
			if _, err := s.gantry(test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("gantry %s: %v, want %q in it", strings.Join(test.args, " "), err, test.want)
			}
		}
	})
}

// TestPrintsWhileGantryIsDead: a container that prints 100 MB while gantry is dead is not held up, and
// every line is in its log afterwards, once.
func TestPrintsWhileGantryIsDead(t *testing.T) {
	t.Parallel()
	s := own(t)
	if _, err := s.gantry("image", "load", sampleTar("probe")); err != nil {
		t.Fatal(err)
	}
	const count = 1_000_000 // of 100 bytes
	dir := t.TempDir()
	j := s.job(t, s.probe("probe", "write=/data/begun:", "await=/data/go", fmt.Sprintf("lines=%d", count), "write=/data/done:", "wait"))
	j.in.Volumes = []types.Volume{hostVolume("data", dir)}
	c := &j.in.ContainerDefinitions[0]
	c.MountPoints = []types.MountPoint{mountPoint("data", "/data")}
	c.LogConfiguration = s.awslogs("dead", "awslogs-stream-prefix=p")
	j.start().running()
	there := func(name string) func() (bool, string) {
		return func() (bool, string) {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil, fmt.Sprint(err)
		}
	}
	eventually(t, "the container to begin", there("begun"))
	s.kill()
	write(t, filepath.Join(dir, "go"), "")
	eventually(t, "the container to have printed all, while gantry is dead", there("done"))
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	stream := "p/probe/" + id(j.arn)
	var lines []string
	seen := 0
	eventually(t, "all lines to be delivered", func() (bool, string) {
		out, err := s.logs().DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("dead")})
		if err != nil || len(out.LogStreams) != 1 {
			return false, fmt.Sprint(out, err)
		}
		last, err := s.logs().GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("dead"), LogStreamName: &stream, Limit: aws.Int32(5)})
		if err != nil {
			return false, err.Error()
		}
		return slices.ContainsFunc(last.Events, func(e logtypes.OutputLogEvent) bool { return strings.Contains(*e.Message, "/data/done") }), fmt.Sprint(len(last.Events))
	})
	for _, e := range s.events(t, "dead", stream) {
		if strings.HasPrefix(*e.Message, "line ") {
			if *e.Message != line(seen) {
				t.Fatalf("line %d is %q", seen, *e.Message)
			}
			seen++
		} else {
			lines = append(lines, *e.Message)
		}
	}
	if seen != count || len(lines) != 2 {
		t.Errorf("%d lines of %d, and %q", seen, count, lines)
	}
	if task := j.look(); *task.LastStatus != "RUNNING" {
		t.Errorf("the task was disturbed: %s", tell(task))
	}
}
