package e2e

import (
	"strings"
	"testing"
)

// TestOtherServices: clients ask STS who they are, and get a true answer; what they ask of services that gantry does not
// have is refused at once, by an error that they do not try again for minutes.
func TestOtherServices(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	who := awsJSON[struct{ UserId, Account, Arn string }](t, s, "sts", "get-caller-identity")
	if who.Account != "123456789012" || who.UserId != who.Account || who.Arn != "arn:aws:iam::123456789012:root" {
		t.Errorf("get-caller-identity: %+v", who)
	}
	for _, c := range []struct{ command, want string }{
		{"ec2 describe-vpcs", "(InvalidAction) when calling the DescribeVpcs operation: gantry does not offer ec2:DescribeVpcs yet."},
		{"iam list-roles", "(InvalidAction) when calling the ListRoles operation: gantry does not offer iam:ListRoles yet."},
		{"sts get-session-token", "(InvalidAction) when calling the GetSessionToken operation: gantry does not offer sts:GetSessionToken yet."},
		{"elbv2 describe-load-balancers", "gantry does not offer elasticloadbalancing:DescribeLoadBalancers yet."},
		{"application-autoscaling describe-scalable-targets --service-namespace ecs", "(UnknownOperationException) when calling the DescribeScalableTargets operation"},
		{"servicediscovery list-namespaces", "(UnknownOperationException)"},
		{"lambda list-functions", "(UnknownOperationException)"},
		{"s3api list-buckets", "An error occurred"},
	} {
		got := s.awsError(t, strings.Fields(c.command)...)
		if strings.Contains(got, "reached max retries") {
			t.Errorf("aws %s: the CLI tried again: %s", c.command, got)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("aws %s: %s, want %s", c.command, got, c.want)
		}
	}
}
