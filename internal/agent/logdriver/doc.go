// Package logdriver takes what containers print to where their task definition's
// logConfiguration says: to CloudWatch Logs (awslogs), into a file on the instance
// (json-file), or nowhere (none).
//
// A container's output is first two append-only files, one for standard output and
// one for standard error, that its shim writes. So a container neither blocks nor
// loses a line while gantry is dead or an endpoint is slow. For each container one
// goroutine reads behind the writer, cuts the output into events, delivers them in
// batches, then records how far it came, and gives what was delivered back to the
// file system by punching holes: the files' sizes grow, the space they take does not.
//
// Delivery is at least once. An event is recorded as delivered after its driver had
// accepted it. Where gantry was killed between the two, it asks after its restart
// what had arrived, so that a line comes twice only if the endpoint takes longer to
// show a batch than gantry to restart, or after a power cut.
//
// An event's time is when it was written as far as can be known: the time of the
// file's last change, or now if that is earlier.
//
// The package knows nothing of tasks or containers but their names, and never stops one.
package logdriver
