package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"gantry/internal/api"
	"gantry/internal/images"
	"gantry/internal/join"
	"gantry/internal/wire"
	"gantry/internal/wire/joinapi"
)

// maxCommandBody bounds the JSON that a command is given, in bytes.
const maxCommandBody = 64 << 10

// joinCommands are those by which the operator decides which machines may join.
func (c *control) joinCommands(handle func(string, commandHandler)) {
	handle("POST /tokens", func(w http.ResponseWriter, r *http.Request) error {
		var in join.TokenRequest
		if err := readJSON(w, r, &in); err != nil {
			return err
		}
		made, err := c.desk.CreateToken(r.Context(), in)
		if err != nil {
			return err
		}
		return answerJSON(w, made)
	})
	handle("GET /tokens", func(w http.ResponseWriter, r *http.Request) error {
		return answerJSON(w, c.desk.Tokens())
	})
	handle("DELETE /tokens", func(w http.ResponseWriter, r *http.Request) error {
		id, err := c.desk.RevokeToken(r.Context(), r.FormValue("token"))
		if err != nil {
			return err
		}
		return answerJSON(w, join.TokenReport{ID: id})
	})
	handle("GET /agents", func(w http.ResponseWriter, r *http.Request) error {
		return answerJSON(w, c.desk.Agents())
	})
	handle("POST /agents", func(w http.ResponseWriter, r *http.Request) error {
		var in join.KeyRequest
		if err := readJSON(w, r, &in); err != nil {
			return err
		}
		made, err := c.desk.MakeKey(r.Context(), in)
		if err != nil {
			return err
		}
		c.log.Info("an agent's key was made", "key", made.Key, "cluster", made.Cluster, "for", in.Host)
		return answerJSON(w, made)
	})
	handle("DELETE /agents", func(w http.ResponseWriter, r *http.Request) error {
		revoked, err := c.desk.RevokeAgent(r.Context(), r.FormValue("agent"))
		if err != nil {
			return err
		}
		c.log.Info("an agent's key was revoked", "key", revoked.Key, "instance", revoked.Instance)
		return answerJSON(w, revoked)
	})
}

// agentCommands answers machines: one that joins, and agents that want images.
func (c *control) agentCommands(life context.Context) http.Handler {
	mux := &commandMux{life: life, log: c.log}
	mux.handle("POST "+joinapi.JoinPath, func(w http.ResponseWriter, r *http.Request) error {
		var in joinapi.JoinInput
		if err := readJSON(w, r, &in); err != nil {
			return err
		}
		out, err := c.desk.Exchange(r.Context(), api.Principal(r.Context()), &in)
		if err != nil {
			c.log.Warn("a machine may not join", "host", in.Host, "from", r.RemoteAddr, "reason", err)
			return err
		}
		c.log.Info("a machine joins", "host", in.Host, "from", r.RemoteAddr, "key", out.AccessKeyID, "cluster", out.Cluster)
		return answerJSON(w, out)
	})
	mux.handle("GET "+joinapi.SelfPath, func(w http.ResponseWriter, r *http.Request) error {
		return answerJSON(w, c.desk.Self(api.Principal(r.Context())))
	})
	mux.handle("GET "+joinapi.ImagePath, func(w http.ResponseWriter, r *http.Request) error {
		found, err := c.shelf.Find(r.FormValue("name"))
		if err != nil {
			return shelfError(err)
		}
		return answerJSON(w, found.Archive)
	})
	mux.handle("GET "+joinapi.ArchivePath+"{digest}", func(w http.ResponseWriter, r *http.Request) error {
		f, err := c.shelf.Archive(r.PathValue("digest"))
		if err != nil {
			return shelfError(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		_, err = io.Copy(w, f)
		return err
	})
	return mux
}

// shelfError is how an agent is told that something was not loaded here.
func shelfError(err error) error {
	if errors.Is(err, images.ErrNotFound) {
		return &wire.Error{Code: joinapi.ImageNotFound, Status: http.StatusNotFound, Message: err.Error()}
	}
	return err
}

// loadImages keeps an archive for the machines that join, and makes it this machine's.
func (c *control) loadImages(ctx context.Context, m machine, archive io.Reader) ([]image, error) {
	var here []image
	kept, err := c.shelf.Put(archive, time.Now(), func(f *os.File) (err error) {
		here, err = m.load(ctx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	if here != nil {
		return here, nil
	}
	return shelved(kept), nil
}

// shelved are the images of a shelf as they are listed.
func shelved(kept []images.Image) []image {
	out := []image{}
	for _, i := range kept {
		out = append(out, image{Name: familiar(i.Name), Digest: i.Digest, Size: i.Size})
	}
	return out
}

// familiar is an image's name as a task definition would give it.
func familiar(ref string) string {
	return strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/library/"), "docker.io/")
}

// readJSON reads what a command was given.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommandBody))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("read the command: %w", err)
	}
	return nil
}
