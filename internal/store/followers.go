package store

// A Follower remembers how far a reader of [Store.Follow] has come, so that
// history is kept for it until it has.
type Follower struct {
	Name string `json:"name"`
	// Done is the newest revision that the follower needs no more.
	Done Revision `json:"done"`
}

// Followers: "<name>". A follower puts its row in the update that makes its work
// durable, so that after a crash it goes on exactly where that left off.
var Followers = NewTable("follower", func(f *Follower) string { return f.Name }, Merged)
