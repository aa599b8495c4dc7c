package logs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire/logsapi"
)

// Config is what the API needs of the world.
type Config struct {
	Engine *Engine
	Place  gantry.Place
	// Now is the clock, time.Now where nil.
	Now func() time.Time
}

// An api answers CloudWatch Logs' operations. It is safe for concurrent use.
type api struct {
	engine *Engine
	place  gantry.Place
	now    func() time.Time
	ends   endings
}

// NewOperations are the operations that gantry offers over an engine; a nil one is not offered yet.
func NewOperations(c Config) *logsapi.Operations {
	a := &api{engine: c.Engine, place: c.Place, now: c.Now}
	if a.now == nil {
		a.now = time.Now
	}
	return &logsapi.Operations{
		CreateLogGroup:                a.createLogGroup,
		DeleteLogGroup:                a.deleteLogGroup,
		DescribeLogGroups:             a.describeLogGroups,
		PutRetentionPolicy:            a.putRetentionPolicy,
		DeleteRetentionPolicy:         a.deleteRetentionPolicy,
		PutLogGroupDeletionProtection: a.putLogGroupDeletionProtection,

		CreateLogStream:    a.createLogStream,
		DeleteLogStream:    a.deleteLogStream,
		DescribeLogStreams: a.describeLogStreams,

		PutLogEvents:    a.putLogEvents,
		GetLogEvents:    a.getLogEvents,
		FilterLogEvents: a.filterLogEvents,

		TagResource:         a.tagResource,
		UntagResource:       a.untagResource,
		ListTagsForResource: a.listTagsForResource,
		TagLogGroup:         a.tagLogGroup,
		UntagLogGroup:       a.untagLogGroup,
		ListTagsLogGroup:    a.listTagsLogGroup,
	}
}

// exception is what a client is told of an engine's error. What is none of the
// client's doing stays as it is.
func exception(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errGroupGone), errors.Is(err, errStreamGone):
		return logsapi.NewResourceNotFoundException(err.Error())
	case errors.Is(err, errGroupExists), errors.Is(err, errStreamExists):
		return logsapi.NewResourceAlreadyExistsException(err.Error())
	case errors.Is(err, errProtected):
		return logsapi.NewValidationException(err.Error())
	case errors.Is(err, errDiskFull):
		// Clients take this as a reason to come again, which is right.
		return logsapi.NewServiceUnavailableException("PutLogEvents: " + errDiskFull.Error() + ".")
	}
	return err
}

func invalid(format string, args ...any) error {
	return logsapi.NewInvalidParameterException(fmt.Sprintf(format, args...))
}

// The ARN of a group, which policies write with ":*" behind it, and of a stream in it.
func (a *api) groupARN(name string) string {
	return "arn:aws:logs:" + string(a.place.Region) + ":" + string(a.place.Account) + ":log-group:" + name
}

func (a *api) streamARN(group, name string) string { return a.groupARN(group) + ":log-stream:" + name }

var (
	groupName  = regexp.MustCompile(`^[\.\-_/#A-Za-z0-9]+$`)
	streamName = regexp.MustCompile(`^[^:*]+$`)
)

// checkName refuses a name in the words of AWS's own validation.
func checkName(member, name string, pattern *regexp.Regexp) error {
	if pattern.MatchString(name) {
		return nil
	}
	return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: %s",
		name, member, strings.Trim(pattern.String(), "^$"))
}

// group is the name of the group that a request means by its name or by its
// identifier, which is a name or an ARN; exactly one has to be given.
func (a *api) group(name, identifier *string) (string, error) {
	switch {
	case name != nil && identifier != nil:
		return "", invalid("Only one of logGroupName or logGroupIdentifier can be provided.")
	case name != nil:
		return *name, checkName("logGroupName", *name, groupName)
	case identifier == nil:
		return "", invalid("One of logGroupName or logGroupIdentifier must be provided.")
	case strings.HasPrefix(*identifier, "arn:"):
		return a.groupOfARN("logGroupIdentifier", *identifier)
	}
	return *identifier, checkName("logGroupIdentifier", *identifier, groupName)
}

// groupOfARN is the name in a group's ARN, with or without ":*" behind it. Other
// accounts and regions have groups that are not here.
func (a *api) groupOfARN(member, arn string) (string, error) {
	name, ok := strings.CutPrefix(arn, a.groupARN(""))
	if !ok && strings.HasPrefix(arn, "arn:") && strings.Contains(arn, ":log-group:") {
		return "", logsapi.NewResourceNotFoundException(errGroupGone.Error())
	}
	name = strings.TrimSuffix(name, ":*")
	if !ok || !groupName.MatchString(name) {
		return "", invalid("%s is not the ARN of a log group: %s", member, arn)
	}
	return name, nil
}
