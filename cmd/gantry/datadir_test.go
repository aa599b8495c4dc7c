package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry"
)

func TestDataDirs(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name  string
		files map[string]string
		asked gantry.Place
		want  string // in the error; "" for none
	}{
		{name: "empty", want: ""},
		{name: "a start that was killed early", files: map[string]string{"lock": "", "gantry.json.123": "{"}, want: ""},
		{name: "gantry's", files: map[string]string{"gantry.json": `{"format":1,"id":"abcd","region":"us-east-1","account":"123456789012"}`, "store": ""}, want: ""},
		{name: "somebody else's", files: map[string]string{"photos": ""}, want: "holds files that are not gantry's (photos): choose an empty folder with --data-dir"},
		{name: "a newer gantry's", files: map[string]string{"gantry.json": `{"format":2,"id":"abcd"}`}, want: "was written by a newer gantry (format 2, this one knows 1)"},
		{name: "damaged", files: map[string]string{"gantry.json": `{`}, want: "gantry.json is damaged"},
		{name: "another region", files: map[string]string{"gantry.json": `{"format":1,"id":"abcd","region":"us-east-1","account":"123456789012"}`},
			asked: gantry.Place{Region: "eu-west-1"}, want: "belongs to region us-east-1, and --region says eu-west-1"},
		{name: "another account", files: map[string]string{"gantry.json": `{"format":1,"id":"abcd","region":"us-east-1","account":"123456789012"}`},
			asked: gantry.Place{Account: "000000000000"}, want: "belongs to account 123456789012, and --account says 000000000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := dataDir{t.TempDir()}
			for name, text := range tt.files {
				if err := os.WriteFile(d.file(name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			id, err := d.create(serverRole, tt.asked, now)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := d.create(serverRole, gantry.Place{}, now.Add(time.Hour))
			if err != nil || *again != *id || id.ID == "" || id.Region != "us-east-1" || id.Account != "123456789012" {
				t.Errorf("first %+v, then %+v, %v", id, again, err)
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (dataDir{path}).read(); err == nil || !strings.Contains(err.Error(), "is not a folder: choose another --data-dir") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSecondGantryOnADataDir(t *testing.T) {
	d := dataDir{filepath.Join(t.TempDir(), "new", "dir")}
	unlock, err := d.lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.lock()
	if err == nil || !strings.Contains(err.Error(), "another gantry (pid ") || !strings.Contains(err.Error(), `gantry down --data-dir `+d.path) {
		t.Errorf("got %v", err)
	}
	if pid, err := d.holder(); err != nil || pid != os.Getpid() {
		t.Errorf("holder is %d, %v", pid, err)
	}
	unlock()
	if err := d.waitFree(t.Context(), time.Second); err != nil {
		t.Errorf("after unlock: %v", err)
	}
	if unlock, err = d.lock(); err != nil {
		t.Errorf("after unlock: %v", err)
	} else {
		unlock()
	}
}

func TestCredentialsFilesAreAWSs(t *testing.T) {
	d := dataDir{t.TempDir()}
	key := newPrincipal(gantry.RootPrincipal, time.Now())
	if len(key.AccessKeyID) != 20 || !strings.HasPrefix(key.AccessKeyID, "AKIA") || len(key.SecretKey) != 40 {
		t.Errorf("a key unlike AWS's: %+v", key)
	}
	if err := writeCredentials(d.file(credentialsFile), key); err != nil {
		t.Fatal(err)
	}
	if err := writeConfig(d.file(configFile), "us-east-1", "http://127.0.0.1:4747", ""); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.file(credentialsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keys' file has mode %v, %v", info.Mode(), err)
	}
	got, err := readCredentials(d.file(credentialsFile))
	if err != nil || got.AccessKeyID != key.AccessKeyID || got.SecretAccessKey != key.SecretKey {
		t.Errorf("read back %+v, %v", got, err)
	}
	text, err := os.ReadFile(d.file(configFile))
	if err != nil || string(text) != "[profile gantry]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:4747\n" {
		t.Errorf("config: %q, %v", text, err)
	}
}

func TestQuote(t *testing.T) {
	if got := quote(`it's $HOME`); got != `'it'\''s $HOME'` {
		t.Errorf("got %s", got)
	}
}
