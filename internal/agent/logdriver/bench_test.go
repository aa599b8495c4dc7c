package logdriver

import (
	"fmt"
	"testing"

	"gantry/internal/wire/logsapi"
)

// BenchmarkCatchUp delivers 20 MB that a container printed while gantry was dead, to
// CloudWatch Logs over loopback and to a json-file log.
func BenchmarkCatchUp(b *testing.B) {
	text := numbered(`10.0.0.1 - - "GET /items HTTP/1.1" 200`, 240_000)
	for _, out := range []Output{awslogsOutput("c", nil), jsonFileOutput("c", nil)} {
		b.Run(out.Driver, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				s, dir := serve(b, nil), b.TempDir()
				if _, err := s.CreateLogGroup(b.Context(), &logsapi.CreateLogGroupInput{LogGroupName: new("g")}); err != nil {
					b.Fatal(err)
				}
				d, stop := start(b, dir, s.url)
				id := fmt.Sprint("c", i)
				c := launch(b, dir, id)
				c.print(text)
				c.exit()
				b.StartTimer()
				out.ContainerID = id
				if err := d.Attach(b.Context(), out); err != nil {
					b.Fatal(err)
				}
				if err := d.Drain(b.Context(), id); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				stop()
				b.StartTimer()
			}
		})
	}
}
