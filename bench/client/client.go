// Package client is a lean client of the ECS API for benchmarks: it signs a request
// once, sends the same bytes again and again on a kept connection, and reads
// answers without decoding them, so that what is measured is the server.
package client

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
)

const target = "AmazonEC2ContainerServiceV20141113."

// An API is where the ECS API is, and who calls it.
type API struct {
	Address   string `json:"address"` // host:port
	Region    string `json:"region"`
	AccessKey string `json:"accessKey"`
	SecretKey string `json:"secretKey"`
}

// Sign makes the bytes of a signed request. They are good for five minutes, and for
// any number of times.
func (a API) Sign(operation string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+a.Address+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target+operation)
	r.Header.Set("User-Agent", "gantry-bench")
	sum := sha256.Sum256(body)
	if err := sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request: r, PayloadHash: sum[:], Service: "ecs", Region: a.Region, Time: time.Now(),
		Credentials: credentials.Credentials{AccessKeyID: a.AccessKey, SecretAccessKey: a.SecretKey},
	}); err != nil {
		return nil, fmt.Errorf("sign %s: %w", operation, err)
	}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// A Conn is one kept connection. It belongs to one goroutine.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// readBuffer holds an answer's header and, of small answers, all; the bodies of
// large ones go past it.
const readBuffer = 8 << 10

// Dial connects.
func Dial(address string) (*Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: c, in: bufio.NewReaderSize(c, readBuffer)}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Do sends a request and returns the body of the answer, which is good until the
// next one. Any status but 200 is an error.
func (c *Conn) Do(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	status, length, err := c.header()
	if err != nil {
		return nil, fmt.Errorf("read the answer's header: %w", err)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, fmt.Errorf("read the answer's body: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", status, c.body)
	}
	return c.body, nil
}

// header reads up to the empty line. Answers have a Content-Length, always.
func (c *Conn) header() (status, length int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, 0, fmt.Errorf("not HTTP: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("not HTTP: %q", line)
	}
	const contentLength = "content-length:"
	length = -1
	for {
		line, err = c.in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if len(line) > len(contentLength) && strings.EqualFold(string(line[:len(contentLength)]), contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, 0, err
			}
		}
	}
	if length < 0 {
		return 0, 0, fmt.Errorf("the answer has no Content-Length")
	}
	return status, length, nil
}

// Call makes one call and decodes its answer: for what is not measured.
func (a API) Call(operation string, in, out any) error {
	request, err := a.Sign(operation, in)
	if err != nil {
		return err
	}
	c, err := Dial(a.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := c.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}
