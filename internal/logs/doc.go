// Package logs keeps what containers print: log groups, their streams, their
// events, and the CloudWatch Logs API over them.
//
// Each stream is one folder of append-only segment files. PutLogEvents appends a
// block of events, compressed where that helps, to the newest segment, and answers
// when the disk has it: an acknowledged event survives a kill -9 or a power cut.
// An index of the blocks (where, from when to when) is all that stays in memory;
// it is read back at start, when a block that was being written at a crash, and so
// was never acknowledged, is cut off.
//
// Events come back in the order of their timestamps and, where these are equal, of
// their arrival. Blocks overlap in time only where a client sends old events late,
// so reading merges the few blocks that overlap and holds no more than those.
//
// The package needs no store: a group's settings and a stream's existence lie
// beside their events, each in a small file that is replaced atomically. What is
// deleted is one folder less. Old segments go when a group's retention says so.
//
// It never looks into containers; agents bring their lines through the API.
package logs
