package metadata

import "net/http"

// credentialsError is how the ECS agent refuses credentials.
type credentialsError struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	HTTPCode int    `json:"HTTPErrorCode"`
}

// credentialsV2 answers AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: whoever knows the id may have the keys.
func (e *endpoint) credentialsV2(w http.ResponseWriter, r *http.Request) {
	e.credentials(w, "CredentialsV2Request: ", r.PathValue("id"))
}

func (e *endpoint) credentialsV1(w http.ResponseWriter, r *http.Request) {
	e.credentials(w, "CredentialsV1Request: ", r.URL.Query().Get("id"))
}

func (e *endpoint) credentials(w http.ResponseWriter, prefix, id string) {
	refuse := func(code, message string, status int) {
		writeJSON(w, status, credentialsError{code, prefix + message, status})
	}
	if id == "" {
		refuse("NoIdInRequest", "No Credential ID in the request", http.StatusBadRequest)
		return
	}
	keys, ok := e.cfg.Credentials.Credentials(id)
	switch {
	case !ok:
		refuse("InvalidIdInRequest", "Credentials not found", http.StatusBadRequest)
	case keys.AccessKeyID == "":
		refuse("CredentialsUninitialized", "Credentials uninitialized for ID", http.StatusServiceUnavailable)
	default:
		keys.Expiration = keys.Expiration.UTC()
		writeJSON(w, http.StatusOK, keys)
	}
}
