package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// awslogs is a log configuration with further options.
func (s *server) awslogs(group string, options ...string) *types.LogConfiguration {
	all := map[string]string{"awslogs-group": group, "awslogs-region": s.value("AWS_REGION"), "awslogs-create-group": "true"}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		all[name] = value
		if value == "" {
			delete(all, name)
		}
	}
	return &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: all}
}

// streams are the names of a group's streams.
func (s *server) streams(t *testing.T, group string) []string {
	t.Helper()
	out, err := s.logs().DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: &group})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, stream := range out.LogStreams {
		names = append(names, *stream.LogStreamName)
	}
	return names
}

// messages are the events of a group's only stream.
func (s *server) messages(t *testing.T, group string) []string {
	t.Helper()
	names := s.streams(t, group)
	if len(names) != 1 {
		t.Fatalf("group %s has the streams %q, and one is right", group, names)
	}
	var out []string
	for _, e := range s.events(t, group, names[0]) {
		out = append(out, *e.Message)
	}
	return out
}

// TestAwslogs: the options of the awslogs driver, each by what is in the stream when the task is told STOPPED.
func TestAwslogs(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for name, test := range map[string]struct {
		do      []string
		options []string
		want    []string
	}{
		"lines": {[]string{"out=one", "err=two", "out=", "out=three", "raw=no end"}, nil, []string{"one", "two", "three", "no end"}},
		"multiline pattern": {[]string{"out=INFO one", "out=  more", "out=  still", "out=INFO two", "raw=  last"},
			[]string{"awslogs-multiline-pattern=^INFO"}, []string{"INFO one\n  more\n  still", "INFO two\n  last"}},
		"datetime format": {[]string{"out=[May 01, 2026 19:00:01] a", "out=b", "out=[May 01, 2026 19:00:04] c"},
			[]string{`awslogs-datetime-format=\[%b %d, %Y %H:%M:%S\]`}, []string{"[May 01, 2026 19:00:01] a\nb", "[May 01, 2026 19:00:04] c"}},
		"non-blocking": {[]string{"out=one", "lines=2"}, []string{"mode=non-blocking", "max-buffer-size=4m"}, []string{"one", line(0), line(1)}},
		"blocking":     {[]string{"out=one"}, []string{"mode=blocking"}, []string{"one"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group := "awslogs/" + strings.ReplaceAll(name, " ", "-")
			s.finish(t, func(_ *job, c *types.ContainerDefinition) { c.LogConfiguration = s.awslogs(group, test.options...) }, test.do...)
			got := s.messages(t, group)
			for i := range got {
				got[i] = strings.TrimSuffix(got[i], "\n")
			}
			slices.Sort(got) // the two outputs come by two pipes
			want := slices.Sorted(slices.Values(test.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// line is what the probe's step "lines" prints as its n-th.
func line(n int) string {
	head := fmt.Sprintf("line %09d ", n)
	return head + strings.Repeat("-", 99-len(head))
}

// TestAwslogsNames: how streams are named, and what happens without a group.
func TestAwslogsNames(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	run := func(group string, options ...string) (*job, types.Task) {
		j := s.job(t, s.probe("probe", "out=x"))
		j.in.ContainerDefinitions[0].LogConfiguration = s.awslogs(group, options...)
		return j, j.start().stopped()
	}
	j, _ := run("names/prefix", "awslogs-stream-prefix=shop/web")
	if got, want := s.streams(t, "names/prefix"), []string{"shop/web/probe/" + id(j.arn)}; !slices.Equal(got, want) {
		t.Errorf("with a prefix: %q, want %q", got, want)
	}
	_, task := run("names/none")
	if got, want := s.streams(t, "names/none"), []string{*part(t, task, "probe").RuntimeId}; !slices.Equal(got, want) {
		t.Errorf("without a prefix: %q, want %q", got, want)
	}
	_, task = run("names/missing", "awslogs-create-group=")
	if text := tell(task); task.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(text, "The specified log group does not exist") {
		t.Errorf("without the group: %s", text)
	}
	_, task = run("names/elsewhere", "awslogs-region=eu-west-1")
	if text := tell(task); task.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(text, "eu-west-1") {
		t.Errorf("in another region: %s", text)
	}
}

// TestLastWords: what a container prints just before it ends is in its log when its task is told STOPPED.
func TestLastWords(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const count = 20_000
	s.finish(t, func(_ *job, c *types.ContainerDefinition) { c.LogConfiguration = s.awslogs("last-words") }, fmt.Sprintf("lines=%d", count), "exit=0")
	got := s.messages(t, "last-words")
	for i, text := range got {
		if text != line(i) {
			t.Fatalf("event %d is %q", i, text)
		}
	}
	if len(got) != count {
		t.Errorf("%d lines of %d", len(got), count)
	}
}

// TestLongLine: a line longer than an event may be comes in pieces, none of it lost.
func TestLongLine(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const length = 5 << 20
	s.finish(t, func(_ *job, c *types.ContainerDefinition) { c.LogConfiguration = s.awslogs("long-line") }, fmt.Sprintf("long=%d", length), "out=after")
	got := s.messages(t, "long-line")
	if last := got[len(got)-1]; last != "after" {
		t.Errorf("the line after it is %.20q", last)
	}
	whole := strings.Join(got[:len(got)-1], "")
	if len(whole) != length-1 || strings.Trim(whole, "x") != "!" || len(got) < length>>18 {
		t.Errorf("%d bytes of %d in %d events", len(whole), length-1, len(got)-1)
	}
}

// TestTail: aws logs tail --follow shows a line within a second of its being printed.
func TestTail(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	program, err := awsProgram()
	if err != nil {
		t.Skipf("no aws CLI: build/setup.sh aws2: %v", err)
	}
	const group, firstLook, count = "tail", 8, 10
	j := s.job(t, s.probe("probe", "clock=90"))
	j.in.ContainerDefinitions[0].LogConfiguration = s.awslogs(group)
	j.start().running()
	ctx, cancel := context.WithTimeout(t.Context(), stateWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "logs", "tail", group, "--follow", "--format", "short", "--since", "1s", "--color", "off")
	cmd.Env = s.env
	screen := onTerminal(t, cmd)
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	var delays []time.Duration
	// After its first look the CLI sleeps for five seconds, whatever it talks to. Its later looks gantry answers
	// when there is something to see. A busy machine may hold the CLI up for a while, and a CLI that sleeps shows half
	// of any ten lines in a row late.
	median := func() time.Duration {
		if len(delays) < firstLook+count {
			return time.Hour
		}
		return slices.Sorted(slices.Values(delays[len(delays)-count:]))[count/2]
	}
	for lines := bufio.NewScanner(screen); median() > time.Second && lines.Scan(); {
		_, text, _ := strings.Cut(strings.TrimSpace(lines.Text()), "clock ")
		printed, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		delays = append(delays, time.Since(printed))
	}
	t.Logf("a line is shown after %v", delays)
	if median := median(); median > time.Second {
		t.Errorf("half of the lines are shown later than %s after they were printed", median)
	}
}

// onTerminal starts a program whose output goes to a terminal, and is what appears there:
// into a pipe the aws CLI writes only when it has a lot to say.
func onTerminal(t *testing.T, cmd *exec.Cmd) io.Reader {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this machine has no terminals: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return screen
}

// TestLogsAPI: groups, streams, retention, tags, events and filters by the SDK.
func TestLogsAPI(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c, ctx := s.logs(), t.Context()
	group, stream := "api/group", "api/stream"
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group, Tags: map[string]string{"team": "blue"}})
	ok("create group", err)
	if _, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}); err == nil || !strings.Contains(err.Error(), "ResourceAlreadyExistsException: The specified log group already exists") {
		t.Errorf("the same group again: %v", err)
	}
	_, err = c.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: aws.Int32(7)})
	ok("put retention", err)
	groups, err := c.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("api/")})
	ok("describe groups", err)
	if len(groups.LogGroups) != 1 || *groups.LogGroups[0].RetentionInDays != 7 {
		t.Fatalf("groups: %+v", groups.LogGroups)
	}
	arn := strings.TrimSuffix(*groups.LogGroups[0].Arn, ":*")
	_, err = c.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"env": "test"}})
	ok("tag", err)
	_, err = c.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"team"}})
	ok("untag", err)
	tags, err := c.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: &arn})
	ok("list tags", err)
	if !maps.Equal(tags.Tags, map[string]string{"env": "test"}) {
		t.Errorf("tags: %v", tags.Tags)
	}

	if _, err := c.PutLogEvents(ctx, putEvents(group, stream, time.Now(), "x")); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException: The specified log stream does not exist") {
		t.Errorf("put into no stream: %v", err)
	}
	_, err = c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	ok("create stream", err)
	began := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	_, err = c.PutLogEvents(ctx, putEvents(group, stream, began, "[error] one 404", `{"level":"warn","size":7}`, "GET / 200"))
	ok("put", err)

	// From both ends, page by page.
	first, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true), Limit: aws.Int32(2)})
	ok("get", err)
	next, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, NextToken: first.NextForwardToken})
	ok("get the next page", err)
	if len(first.Events) != 2 || len(next.Events) != 1 || *next.Events[0].Message != "GET / 200" || *first.Events[0].Timestamp != began.UnixMilli() {
		t.Errorf("pages of %d and %d: %+v", len(first.Events), len(next.Events), next.Events)
	}
	last, err := c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, Limit: aws.Int32(1)})
	ok("get the last", err)
	if len(last.Events) != 1 || *last.Events[0].Message != "GET / 200" {
		t.Errorf("the last page: %+v", last.Events)
	}
	for pattern, want := range map[string]int{"": 3, "error": 1, "?error ?GET": 2, "-error": 2, `{ $.level = "warn" }`: 1, "{ $.size > 7 }": 0, `"GET /"`: 1, "nothing": 0} {
		in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group}
		if pattern != "" {
			in.FilterPattern = &pattern
		}
		got := 0
		for pages := cloudwatchlogs.NewFilterLogEventsPaginator(c, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			ok("filter "+pattern, err)
			got += len(page.Events)
		}
		if got != want {
			t.Errorf("the pattern %s finds %d events, want %d", pattern, got, want)
		}
	}
	if _, err := c.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, FilterPattern: aws.String("{ $.x = ")}); err == nil || !strings.Contains(err.Error(), "InvalidParameterException") {
		t.Errorf("a bad pattern: %v", err)
	}

	_, err = c.DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &group})
	ok("delete retention", err)
	_, err = c.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	ok("delete stream", err)
	_, err = c.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: &group})
	ok("delete group", err)
	if _, err := c.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: &group}); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException: The specified log group does not exist") {
		t.Errorf("streams of a group that is gone: %v", err)
	}
}
