package home

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/joinapi"
)

// What was told at an earlier start holds until something else is told.
func TestAMachineIsKnownFromEarlierStarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "home.json")
	if err := (&Home{Server: "https://10.0.0.1:4747", AccessKeyID: "AKIA"}).write(file); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct{ told, want Machine }{
		{Machine{}, Machine{}},
		{Machine{Zone: "a", InstanceType: "big"}, Machine{Zone: "a", InstanceType: "big"}},
		{Machine{}, Machine{Zone: "a", InstanceType: "big"}},
		{Machine{Zone: "b", ImageID: "ami-1"}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1"}},
		{Machine{}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1"}},
		{Machine{Attributes: map[string]string{"stack": "prod", "disk": "ssd"}},
			Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1", Attributes: map[string]string{"stack": "prod", "disk": "ssd"}}},
		{Machine{Attributes: map[string]string{}}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1", Attributes: map[string]string{"stack": "prod", "disk": "ssd"}}},
		{Machine{Attributes: map[string]string{"stack": "test"}}, Machine{Zone: "b", InstanceType: "big", ImageID: "ami-1", Attributes: map[string]string{"stack": "test"}}},
	} {
		h, err := Read(file) // each start reads it anew
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Know(file, step.told); err != nil || !reflect.DeepEqual(got, step.want) {
			t.Errorf("start %d, told %+v: %+v, %v; want %+v", i, step.told, got, err, step.want)
		}
		if h.Server != "https://10.0.0.1:4747" {
			t.Errorf("start %d: the server is %q", i, h.Server)
		}
	}
}

// What AWS says of any request, gantry says of the token.
func TestARefusedMachineIsToldWhatToLookAt(t *testing.T) {
	for _, test := range []struct {
		code, message, want string
	}{
		{"UnrecognizedClientException", "The security token included in the request is invalid.", "(the server knows no token GJTA: it was revoked"},
		{"InvalidSignatureException", "The request signature we calculated does not match the signature you provided.", "(the secret of token GJTA is another one"},
		{"InvalidSignatureException", "Signature expired: 20261128T034400Z is now earlier than 20261128T044400Z", "(the clocks of this machine and the server"},
		{"InvalidSignatureException", "Signature not yet current: 20261128T034400Z is still later than 20261128T024400Z", "(the clocks of this machine and the server"},
		{"JoinTokenRefusedException", "The token is for cluster prod, not for default.", "not for default."},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			awsjson.WriteError(w, r, &wire.Error{Code: test.code, Message: test.message, Status: http.StatusBadRequest})
		}))
		_, err := Join(t.Context(), filepath.Join(t.TempDir(), "home.json"), Request{Server: server.URL, Token: joinapi.Token{ID: "GJTA", Secret: "s", Region: "us-east-1"}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %s", test.code, err, test.want)
		}
		server.Close()
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	_, err := Join(t.Context(), filepath.Join(t.TempDir(), "home.json"), Request{Server: server.URL, Token: joinapi.Token{ID: "GJTA", Secret: "s", Region: "us-east-1"}})
	if err == nil || !strings.Contains(err.Error(), "--ca-fingerprint") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}
