package wire

// An Error is an AWS exception: what a client's SDK turns into a typed error.
// It is made where the request is answered, by the constructors of the service's package (ecsapi.NewClusterNotFoundException).
type Error struct {
	Code    string         // "ClusterNotFoundException"
	Message string         // a sentence for the person who asked
	Status  int            // of the HTTP response: 400, 403, 500
	Members map[string]any // what the exception has besides its message, by wire name: "resourceIds"; mostly nil

	// RequestID is by which the log of the service that answered can be searched. Only who calls a service finds it here.
	RequestID string
}

// Error returns "ClusterNotFoundException: Cluster not found."
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Is matches another Error of the same code, so that errors.Is(err, &wire.Error{Code: "…"}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}
