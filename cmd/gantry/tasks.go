package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gantry/internal/events"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"

	"github.com/spf13/cobra"
)

func newTasks() *cobra.Command {
	var dir, cluster, service string
	var stopped, asJSON bool
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List tasks; with --stopped those of the last days, also when ECS has forgotten them",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			query := url.Values{"cluster": {cluster}, "service": {service}}
			if stopped {
				query.Set("stopped", "yes")
			}
			if since > 0 {
				if !stopped {
					return fmt.Errorf("--since is about tasks that have stopped: give --stopped, too")
				}
				query.Set("since", since.String())
			}
			var tasks []events.Ended
			if err := c.ask(cmd, "/tasks", query, &tasks); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), tasks)
			}
			return printTasks(cmd.OutOrStdout(), tasks, time.Now())
		},
	}
	addDataDir(cmd, &dir)
	cmd.Flags().StringVar(&cluster, "cluster", "", "of this cluster only")
	cmd.Flags().StringVar(&service, "service", "", "of this service only")
	cmd.Flags().BoolVar(&stopped, "stopped", false, "those that have stopped, the newest first")
	cmd.Flags().DurationVar(&since, "since", 0, "with --stopped: not longer ago than this, such as 90m or 48h")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// ask sends a command with a query that answers JSON.
func (c *client) ask(cmd *cobra.Command, path string, query url.Values, into any) error {
	body, err := c.command(cmd.Context(), http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

func printTasks(out io.Writer, tasks []events.Ended, now time.Time) error {
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "TASK\tCLUSTER\tGROUP\tDEFINITION\tSTATUS\tSINCE\tWHY")
	for _, k := range tasks {
		since := firstTime(k.Task.StoppedAt, k.Task.StartedAt, k.Task.CreatedAt)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", last(k.Task.TaskArn), last(k.Task.ClusterArn), wire.Value(k.Task.Group), last(k.Task.TaskDefinitionArn),
			wire.Value(k.Task.LastStatus), ago(since, now), inShort(k.Task))
	}
	return t.Flush()
}

// inShort is why a task has stopped, in one line.
func inShort(t *ecsapi.Task) string {
	parts := []string{}
	if reason := wire.Value(t.StoppedReason); reason != "" {
		parts = append(parts, reason)
	}
	for _, k := range t.Containers {
		if k.ExitCode != nil && *k.ExitCode != 0 || wire.Value(k.Reason) != "" {
			parts = append(parts, strings.TrimSuffix(wire.Value(k.Name)+" "+exitText(k.ExitCode)+", "+wire.Value(k.Reason), ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// last is the last part of an ARN.
func last(arn *string) string {
	text := wire.Value(arn)
	return text[strings.LastIndexByte(text, '/')+1:]
}

func firstTime(times ...*wire.Timestamp) time.Time {
	for _, t := range times {
		if t != nil {
			return t.Time
		}
	}
	return time.Time{}
}

// ago is how long ago something was, in whole units.
func ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	d := max(now.Sub(at), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

func newWhy() *cobra.Command {
	var dir, cluster string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why TASK",
		Short: "Explain why a task has stopped, or how it is, with the last lines that it printed",
		Long: `Explain why a task has stopped, or how it is: the chain of causes, exit codes and
signals, images, placement, and the last lines that its containers have printed. TASK
is an id, the beginning of one, or an ARN. Tasks that have stopped stay readable for
days (gantry up --task-history), also when ECS has forgotten them.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			var report taskReport
			if err := c.ask(cmd, "/why", url.Values{"task": {args[0]}, "cluster": {cluster}}, &report); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), report)
			}
			printWhy(cmd.OutOrStdout(), report, time.Now())
			return nil
		},
	}
	addDataDir(cmd, &dir)
	cmd.Flags().StringVar(&cluster, "cluster", "", "the task's cluster, where ids alone are not enough")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printWhy tells what became of a task, the newest cause first.
func printWhy(out io.Writer, r taskReport, now time.Time) {
	t := r.Task
	fmt.Fprintf(out, "task %s in cluster %s is %s\n", last(t.TaskArn), last(t.ClusterArn), wire.Value(t.LastStatus))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	if !r.Away.IsZero() {
		line("but", "its agent has been disconnected since %s, %s: this is what was known then", r.Away.Format(time.RFC3339), ago(r.Away, now))
	}
	if t.StoppedAt != nil {
		line("stopped", "%s, %s", t.StoppedAt.Format(time.RFC3339), ago(t.StoppedAt.Time, now))
	}
	if t.StopCode != "" || t.StoppedReason != nil {
		line("because", "%s", strings.TrimPrefix(string(t.StopCode)+": "+wire.Value(t.StoppedReason), ": "))
	}
	switch {
	case t.StartedAt == nil:
		line("started", "never: it did not get to RUNNING")
	case t.StoppedAt != nil:
		line("started", "%s, ran for %s", t.StartedAt.Format(time.RFC3339), t.StoppedAt.Sub(t.StartedAt.Time).Round(time.Millisecond))
	default:
		line("started", "%s, %s", t.StartedAt.Format(time.RFC3339), ago(t.StartedAt.Time, now))
	}
	if t.CreatedAt != nil {
		line("created", "%s", t.CreatedAt.Format(time.RFC3339))
	}
	if t.PullStartedAt != nil && t.PullStoppedAt != nil {
		line("pulled", "for %s", t.PullStoppedAt.Sub(t.PullStartedAt.Time).Round(time.Millisecond))
	}
	line("definition", "%s", last(t.TaskDefinitionArn))
	where := "nowhere: no container instance was chosen"
	if t.ContainerInstanceArn != nil {
		where = "container instance " + last(t.ContainerInstanceArn)
	}
	if t.AvailabilityZone != nil {
		where += " in " + *t.AvailabilityZone
	}
	line("placed on", "%s, launch type %s", where, t.LaunchType)
	line("group", "%s", wire.Value(t.Group))
	if t.StartedBy != nil {
		line("started by", "%s", *t.StartedBy)
	}
	for _, k := range t.Containers {
		printContainer(out, r, k)
	}
}

func printContainer(out io.Writer, r taskReport, k ecsapi.Container) {
	name := wire.Value(k.Name)
	essential := ""
	if slices.ContainsFunc(r.Containers, func(c events.EndedContainer) bool { return c.Name == name && c.Essential }) {
		essential = " (essential)"
	}
	state := strings.ToLower(wire.Value(k.LastStatus))
	if wire.Value(k.LastStatus) == "STOPPED" {
		state = exitText(k.ExitCode)
	}
	fmt.Fprintf(out, "\n  container %s%s %s\n", name, essential, state)
	for _, l := range []struct {
		name  string
		value *string
	}{{"reason", k.Reason}, {"image", k.Image}, {"digest", k.ImageDigest}} {
		if l.value != nil {
			fmt.Fprintf(out, "    %-7s %s\n", l.name, *l.value)
		}
	}
	if k.HealthStatus != "" && k.HealthStatus != ecsapi.HealthStatusUnknown {
		fmt.Fprintf(out, "    health  %s\n", k.HealthStatus)
	}
	o := r.Output[name]
	switch {
	case len(o.Lines) > 0:
		fmt.Fprintf(out, "    last lines, from %s:\n", o.From)
		for _, l := range o.Lines {
			fmt.Fprintf(out, "      | %s\n", l)
		}
	case o.Note != "":
		fmt.Fprintf(out, "    no output to show: %s\n", o.Note)
	default:
		fmt.Fprintf(out, "    it has printed nothing that is kept in %s\n", o.From)
	}
}

func newEvents() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the targets of rules: what they were given, and which of them do not take it",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			var targets []events.TargetStatus
			if err := c.ask(cmd, "/events", nil, &targets); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, targets)
			}
			t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, "RULE\tTARGET\tDELIVERED\tGIVEN UP\tTRIES IN VAIN\tOVERRUN\tLAST ERROR\tARN")
			for _, s := range targets {
				fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", s.Rule, s.Target, s.Delivered, s.GivenUp, s.Retries, ago(s.Overrun, time.Now()), s.LastError, s.ARN)
			}
			return t.Flush()
		},
	}
	addDataDir(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
