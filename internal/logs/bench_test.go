package logs

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gantry/internal/wire/logsapi"
)

// accessLog is lines as a web server writes them.
func accessLog(n int, at int64) []logsapi.InputLogEvent {
	events := make([]logsapi.InputLogEvent, n)
	for i := range events {
		events[i] = logsapi.InputLogEvent{Timestamp: new(at), Message: new(fmt.Sprintf(
			`10.%d.%d.7 - - [23/Nov/2026:12:00:%02d +0000] "GET /items/%d?page=%d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
			i%256, i*7%256, i%60, i*31%9973, i%17, 200+i%3*100, i*7%5000))}
	}
	return events
}

func benchAPI(b *testing.B) *logsapi.Operations {
	b.Helper()
	e, err := Open(b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.Close)
	ops := NewOperations(Config{Engine: e})
	if _, err := ops.CreateLogGroup(b.Context(), &logsapi.CreateLogGroupInput{LogGroupName: new("g")}); err != nil {
		b.Fatal(err)
	}
	if _, err := ops.CreateLogStream(b.Context(), &logsapi.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: new("s")}); err != nil {
		b.Fatal(err)
	}
	return ops
}

// BenchmarkPut puts batches of so many lines, each durable before the next.
func BenchmarkPut(b *testing.B) {
	for _, lines := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint("lines=", lines), func(b *testing.B) {
			ops := benchAPI(b)
			in := &logsapi.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: accessLog(lines, time.Now().UnixMilli())}
			for b.Loop() {
				if _, err := ops.PutLogEvents(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// BenchmarkCreateStream is what each container start waits for.
func BenchmarkCreateStream(b *testing.B) {
	ops := benchAPI(b)
	for i := 0; b.Loop(); i++ {
		in := &logsapi.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: new(fmt.Sprint(i))}
		if _, err := ops.CreateLogStream(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFilter looks for a rare line among 200,000.
func BenchmarkFilter(b *testing.B) {
	ops := benchAPI(b)
	for i := range 40 {
		at := time.Now().UnixMilli() + int64(i)
		in := &logsapi.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: accessLog(5000, at)}
		if _, err := ops.PutLogEvents(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	for _, pattern := range []string{"", "nowhere", "%nowhere|else%", "[ip, id, user, at, request, status=599, ...]"} {
		b.Run("pattern="+pattern, func(b *testing.B) {
			for b.Loop() {
				in := &logsapi.FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: &pattern}
				for {
					out, err := ops.FilterLogEvents(b.Context(), in)
					if err != nil {
						b.Fatal(err)
					}
					if in.NextToken = out.NextToken; in.NextToken == nil {
						break
					}
				}
			}
			b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
