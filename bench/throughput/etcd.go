package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"gantry/bench/child"
	"gantry/bench/measure"
)

const (
	// recordSize is about what a task that runs is as a record, in bytes.
	recordSize = 900
	// callers put one record at a time; a batch is put in one transaction.
	callers, batch = 128, 1000
)

// floor is how long it took to put records: one for each call, and in transactions.
type floor struct{ Calls, Batches time.Duration }

// measureEtcd puts two records for each task, as a task is written when it is placed and
// when it runs, into an etcd and nothing else.
func measureEtcd(tasks int) (err error) {
	c, err := child.Start(etcdRole)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	for _, way := range []struct{ name, ask string }{
		{fmt.Sprintf("%d callers", callers), "calls"}, {fmt.Sprintf("transactions of %d", batch), "batches"},
	} {
		clock, took := measure.Start(c.Pid()), time.Duration(0)
		if err := c.Ask(way.ask, 2*tasks, &took); err != nil {
			return err
		}
		span := clock.Stop()
		n := float64(tasks)
		fmt.Printf("bare etcd, two records of %d bytes a task, %s: %.0f tasks/s, %.3f ms CPU a task, others used %.0f%%\n",
			recordSize, way.name, n/took.Seconds(), ms(span.CPU)/n, 100*span.Others)
	}
	return nil
}

func playEtcd() error {
	dir, err := os.MkdirTemp("", "gantry-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.ListenPeerUrls, cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil, nil
	cfg.TickMs, cfg.ElectionMs, cfg.MaxTxnOps, cfg.MaxRequestBytes = 10, 50, batch, 16<<20
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	<-e.Server.ReadyNotify()
	c := v3client.New(e.Server)
	defer c.Close()
	return child.Serve(func(ask string, in json.RawMessage) (any, error) {
		switch ask {
		case "calls":
			return answer(in, func(n int) (time.Duration, error) { return putEach(c, n) })
		case "batches":
			return answer(in, func(n int) (time.Duration, error) { return putBatches(c, n) })
		}
		return nil, errors.New("that is not known here")
	})
}

var value = strings.Repeat("x", recordSize)

// putEach puts records, one a call.
func putEach(c *clientv3.Client, n int) (time.Duration, error) {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, callers)
	began := time.Now()
	for i := range errs {
		all.Go(func() {
			for at := next.Add(1); at <= int64(n) && errs[i] == nil; at = next.Add(1) {
				_, errs[i] = c.Put(context.Background(), fmt.Sprintf("each/%032x", at), value)
			}
		})
	}
	all.Wait()
	return time.Since(began), errors.Join(errs...)
}

// putBatches puts records, many in a transaction.
func putBatches(c *clientv3.Client, n int) (time.Duration, error) {
	began := time.Now()
	for at := 0; at < n; at += batch {
		ops := make([]clientv3.Op, 0, batch)
		for i := at; i < min(at+batch, n); i++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("batch/%032x", i), value))
		}
		if _, err := c.Txn(context.Background()).Then(ops...).Commit(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}
