package logdriver

import (
	"context"
	"fmt"
	"os"
)

// The drivers.
const (
	driverJSONFile = "json-file" // the default, as Docker's
	driverAWSLogs  = "awslogs"
	driverNone     = "none"
)

// Names lists the drivers, as logDriver names them.
func Names() []string { return []string{driverAWSLogs, driverJSONFile, driverNone} }

// A setting is a driver's reading of an Output: how it wants events, and how to open its sink.
type setting struct {
	plan plan
	// prepare, if set, is done once, before the container starts.
	prepare func(ctx context.Context) error
	open    func(rec record) (sink, error)
}

// configure reads an Output's options.
func (d *Drivers) configure(out Output) (setting, error) {
	switch out.Driver {
	case "", driverJSONFile:
		return jsonFileSetting(d.dir(out.ContainerID), out)
	case driverAWSLogs:
		return d.awslogsSetting(out)
	case driverNone:
		return noneSetting(out)
	case "splunk", "fluentd", "awsfirelens", "journald", "syslog", "gelf", "logentries", "local", "gcplogs", "etwlogs":
		return setting{}, fmt.Errorf("logging driver %s is not offered yet: gantry has awslogs, json-file and none", out.Driver)
	}
	return setting{}, fmt.Errorf("logger: no log driver named '%s' is registered", out.Driver)
}

// attach begins with a new container.
func (d *Drivers) attach(ctx context.Context, out Output) error {
	s, err := d.configure(out)
	if err != nil {
		return err
	}
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return err
		}
	}
	dir := d.dir(out.ContainerID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := saveOutput(dir, out); err != nil {
		return err
	}
	return d.begin(out)
}

// begin delivers from where the record says.
func (d *Drivers) begin(out Output) error {
	s, err := d.configure(out)
	if err != nil {
		return err
	}
	log := d.cfg.Log.With("container", out.ContainerID, "name", out.ContainerName, "task", out.TaskID, "driver", out.Driver)
	p, err := openPump(d.dir(out.ContainerID), s.plan, s.open, log)
	if err != nil {
		return err
	}
	r := &running{pump: p}
	for _, t := range p.tails {
		id, err := d.watch.add(t.file.Name(), p.written)
		if err != nil {
			return fmt.Errorf("%w (close: %v)", err, p.close())
		}
		r.watches = append(r.watches, id)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pumps[out.ContainerID] = r
	d.start(r)
	return nil
}
