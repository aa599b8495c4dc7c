// Web is a small HTTP server that tells which task it runs in.
//
// It answers / with the task's metadata and /healthz with 200, and prints a line
// once it listens and minds SIGTERM, and one per request. Its environment says how it behaves:
//
//	PORT               where it listens, by default 8080
//	START_DELAY        how long it waits before it listens, for example 5s
//	FAIL_HEALTH_AFTER  how long after the start /healthz turns to 503
//	BURN_CPU           how much of one CPU it burns, for example 0.5
//	EXIT_AFTER         how long after the start it exits
//	EXIT_CODE          with which code
//	STOP_DELAY         how long it goes on serving after SIGTERM
//
// "web check" asks its own /healthz and exits 0 or 1: a health check for images
// that have no shell.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gantry/samples/setting"
)

// answerWithin bounds each request to others; a health check's own timeout is shorter.
const answerWithin = 30 * time.Second

func main() {
	port := setting.Text("PORT", "8080")
	if len(os.Args) > 1 && os.Args[1] == "check" {
		os.Exit(check(port))
	}
	if err := serve(port); err != nil {
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

func serve(port string) error {
	started := time.Now()
	time.Sleep(setting.Duration("START_DELAY", 0))
	if share := setting.Fraction("BURN_CPU", 0); share > 0 {
		go setting.Burn(share)
	}
	if after := setting.Duration("EXIT_AFTER", 0); after > 0 {
		time.AfterFunc(after, func() {
			fmt.Println("web: exits as EXIT_AFTER asked")
			os.Exit(setting.Number("EXIT_CODE", 0))
		})
	}

	failAfter := setting.Duration("FAIL_HEALTH_AFTER", 0)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if failAfter > 0 && time.Since(started) > failAfter {
			http.Error(w, "failing as FAIL_HEALTH_AFTER asked", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Printf("web: %s %s from %s\n", r.Method, r.URL.Path, r.RemoteAddr)
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(whoami(r.Context())); err != nil {
			fmt.Fprintln(os.Stderr, "web:", err)
		}
	})

	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Printf("web: listens on port %s\n", port)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Println("web: stops gracefully")
	time.Sleep(setting.Duration("STOP_DELAY", 0))
	return server.Shutdown(context.Background())
}

// whoami is the task's own metadata where there is an ECS agent to ask.
func whoami(ctx context.Context) map[string]any {
	host, _ := os.Hostname()
	answer := map[string]any{"hostname": host}
	uri := os.Getenv("ECS_CONTAINER_METADATA_URI_V4")
	if uri == "" {
		return answer
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	task, err := get(ctx, uri+"/task")
	if err != nil {
		answer["error"] = err.Error()
		return answer
	}
	answer["task"] = task
	return answer
}

func get(ctx context.Context, url string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("%s: %s: not JSON", url, res.Status)
	}
	return body, nil
}

func check(port string) int {
	client := http.Client{Timeout: answerWithin}
	res, err := client.Get("http://127.0.0.1:" + port + "/healthz")
	if err != nil {
		fmt.Fprintln(os.Stderr, "web check:", err)
		return 1
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, "web check:", res.Status)
		return 1
	}
	return 0
}
