package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"gantry"
	"gantry/internal/wire/joinapi"
)

// commandPath is where gantry's own commands (status, image load, backup) are answered.
const commandPath = "/gantry/v1/"

// agentPath, below commandPath, is where machines join, and where their agents ask
// for what ECS's own protocol has no call for.
const agentPath = commandPath + "agent/"

// CommandService is the service name for which gantry's own commands are signed.
const CommandService = "gantry"

// serveCommand lets the root principal's commands pass. An image may be
// gigabytes, so the signature is checked over the hash that the client states,
// and the body against that hash while it is read: a reader gets errAltered
// instead of the end where it is not the body that was signed.
func (d *Door) serveCommand(w http.ResponseWriter, r *http.Request) {
	sum, err := hex.DecodeString(r.Header.Get("X-Amz-Content-Sha256"))
	if err != nil || len(sum) != sha256.Size {
		sum = nil // stated wrongly or not at all: only an empty body can match
	}
	if sum == nil {
		empty := sha256.Sum256(nil)
		sum = empty[:]
	}
	p, no := d.verifyHash(r, sum, CommandService)
	if no != nil {
		refuseJSON(w, r, no)
		return
	}
	commands := d.commandsFor(p, r.URL.Path)
	if commands == nil {
		refuseJSON(w, r, &refusal{json: "AccessDeniedException", jsonStatus: http.StatusForbidden,
			message: fmt.Sprintf("User: %s is not authorized to give commands to gantry.", ARN(d.config.Place, p))})
		return
	}
	r = d.admitted(r, p)
	r.Body = &hashedBody{ReadCloser: r.Body, hash: sha256.New(), want: sum}
	commands.ServeHTTP(w, r)
}

// commandsFor are the commands that a principal may give at a path; nil where none.
func (d *Door) commandsFor(p *gantry.Principal, path string) http.Handler {
	toJoin := path == joinapi.JoinPath
	switch {
	case p.Kind == gantry.RootPrincipal:
		return d.commands
	case strings.HasPrefix(path, agentPath) && toJoin == (p.Kind == gantry.TokenPrincipal) && d.config.AgentCommands != nil:
		return d.config.AgentCommands
	}
	return nil
}

var errAltered = errors.New("the body is not the one that was signed")

// A hashedBody ends with errAltered where its content is not what want says.
type hashedBody struct {
	io.ReadCloser
	hash hash.Hash
	want []byte
}

func (b *hashedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if err == io.EOF && !bytes.Equal(b.hash.Sum(nil), b.want) {
		err = errAltered
	}
	return n, err
}

// newRequestID makes a random UUID.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
