package logdriver

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// maxAWSLogsEvent is how much of one line Docker's driver puts into one event.
const maxAWSLogsEvent = 256<<10 - eventOverhead

// awslogsSetting reads the options of the driver awslogs, as Docker's driver and the ECS agent do.
func (d *Drivers) awslogsSetting(out Output) (setting, error) {
	o := newOptions(driverAWSLogs, out.Options)
	s := &awslogs{log: d.cfg.Log.With("container", out.ContainerID)}
	s.group = o.text("awslogs-group")
	if s.group == "" {
		o.fail("must specify a value for log opt 'awslogs-group'")
	}
	s.createGroup = o.truth("awslogs-create-group")
	s.client = d.awslogsClient(o)
	s.stream = awslogsStream(o, out)
	p := plan{most: maxAWSLogsEvent, backlog: o.backlog()}
	begins := awslogsBegins(o)
	if begins != nil {
		p.join = func() *joiner { return &joiner{begins: begins, most: maxAWSLogsEvent} }
	}
	seconds := o.number("awslogs-force-flush-interval-seconds", 1, 0)
	p.interval, p.hold = flushInterval, lineHold
	if seconds > 0 {
		p.interval = time.Duration(seconds) * time.Second
		p.hold = p.interval
	}
	// Docker's bound of its memory. Ours is a batch at most, whatever is allowed here; Docker's default is 4,096.
	o.number("awslogs-max-buffered-events", 1, 0)
	if format := o.text("awslogs-format"); format != "" {
		o.fail("awslogs-format %q: gantry does not extract metrics from logs yet", format)
	}
	if o.text("awslogs-credentials-endpoint") != "" {
		o.fail("awslogs-credentials-endpoint: gantry delivers logs with the agent's own credentials")
	}
	return setting{plan: p, prepare: s.ensure, open: func(record) (sink, error) { return s, nil }}, o.done()
}

// awslogsClient calls the endpoint that the options name, else the agent's own.
func (d *Drivers) awslogsClient(o *options) *client {
	c := &client{endpoint: d.cfg.Endpoint, region: d.cfg.Region, keys: d.cfg.Credentials, http: d.cfg.HTTP}
	region, endpoint := o.text("awslogs-region"), o.text("awslogs-endpoint")
	if endpoint != "" {
		c.endpoint = endpoint
		if !strings.Contains(endpoint, "://") {
			c.endpoint = "https://" + endpoint
		}
		if region != "" {
			c.region = region
		}
	} else if region != "" && region != c.region {
		o.fail("awslogs-region is %s, and this gantry's region is %s: name that one, or start gantry with --region %s", region, c.region, region)
	}
	return c
}

// awslogsStream names the stream: as the ECS agent does with a prefix, else as Docker does.
func awslogsStream(o *options, out Output) string {
	prefix, stream := o.text("awslogs-stream-prefix"), o.text("awslogs-stream")
	if tag := o.text("tag"); tag != "" {
		o.fail("option tag is not offered yet: name the stream with awslogs-stream-prefix or awslogs-stream")
	}
	switch {
	case prefix != "":
		return prefix + "/" + out.ContainerName + "/" + out.TaskID
	case stream != "":
		return stream
	}
	return out.ContainerID
}

// awslogsBegins is what the first line of an event matches; nil where each line is an event.
func awslogsBegins(o *options) *regexp.Regexp {
	format, pattern := o.text("awslogs-datetime-format"), o.text("awslogs-multiline-pattern")
	switch {
	case format != "" && pattern != "":
		o.fail("you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time")
		return nil
	case format != "":
		expression, err := strftime(format)
		if err != nil {
			o.fail("awslogs-datetime-format %q: %v", format, err)
			return nil
		}
		pattern = expression
	case pattern == "":
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		o.fail("awslogs could not parse multiline pattern key %q: %v", pattern, err)
	}
	return re
}

// directives is what each code of a date's format looks like in a line.
var directives = map[byte]string{
	'a': `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)`,
	'A': `(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)`,
	'w': `[0-6]`,
	'd': `(?:0[1-9]|[12][0-9]|3[01])`,
	'b': `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`,
	'B': `(?:January|February|March|April|May|June|July|August|September|October|November|December)`,
	'm': `(?:0[1-9]|1[0-2])`,
	'Y': `[0-9]{4}`,
	'y': `[0-9]{2}`,
	'H': `(?:[01][0-9]|2[0-3])`,
	'I': `(?:0[0-9]|1[0-2])`,
	'p': `[AP]M`,
	'M': `[0-5][0-9]`,
	'S': `[0-5][0-9]`,
	'L': `\.[0-9]{3}`, // milliseconds with their point, as Docker has it
	'f': `[0-9]{6}`,
	'z': `[+-][0-9]{4}`,
	'Z': `[A-Z]{1,4}T`,
	'j': `(?:[0-2][0-9]{2}|3[0-5][0-9]|36[0-6])`,
	'%': `%`,
}

// strftime turns a format such as "%Y-%m-%d" into a regular expression. What is
// between the codes is one already: AWS's own example escapes its brackets.
func strftime(format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) {
			return "", errors.New("the last % has no letter behind it")
		}
		expression, ok := directives[format[i]]
		if !ok {
			return "", fmt.Errorf("%%%c is not a code of awslogs-datetime-format", format[i])
		}
		b.WriteString(expression)
	}
	return b.String(), nil
}
