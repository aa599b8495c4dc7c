package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DockerConfig is what this agent honours of Docker's container Config, the JSON string in dockerConfig.config.
type DockerConfig struct {
	Hostname    string            `json:"Hostname"`
	Domainname  string            `json:"Domainname"`
	User        string            `json:"User"`
	TTY         bool              `json:"Tty"`
	OpenStdin   bool              `json:"OpenStdin"`
	Env         []string          `json:"Env"`
	Cmd         []string          `json:"Cmd"`
	Entrypoint  []string          `json:"Entrypoint"`
	Image       string            `json:"Image"`
	WorkingDir  string            `json:"WorkingDir"`
	Labels      map[string]string `json:"Labels"`
	StopSignal  string            `json:"StopSignal"`
	Healthcheck *struct {
		Test        []string      `json:"Test"`
		Interval    time.Duration `json:"Interval"`
		Timeout     time.Duration `json:"Timeout"`
		StartPeriod time.Duration `json:"StartPeriod"`
		Retries     int           `json:"Retries"`
	} `json:"Healthcheck"`
	NetworkDisabled bool `json:"NetworkDisabled"`
}

// HostConfig is what this agent honours of Docker's HostConfig, the JSON string in dockerConfig.hostConfig.
type HostConfig struct {
	LogConfig struct {
		Type   string            `json:"Type"`
		Config map[string]string `json:"Config"`
	} `json:"LogConfig"`
	NetworkMode       string            `json:"NetworkMode"`
	CapAdd            []string          `json:"CapAdd"`
	CapDrop           []string          `json:"CapDrop"`
	DNS               []string          `json:"Dns"`
	DNSOptions        []string          `json:"DnsOptions"`
	DNSSearch         []string          `json:"DnsSearch"`
	ExtraHosts        []string          `json:"ExtraHosts"` // "name:address"
	Links             []string          `json:"Links"`
	IPCMode           string            `json:"IpcMode"`
	PIDMode           string            `json:"PidMode"`
	Privileged        bool              `json:"Privileged"`
	ReadonlyRootfs    bool              `json:"ReadonlyRootfs"`
	SecurityOpt       []string          `json:"SecurityOpt"`
	Tmpfs             map[string]string `json:"Tmpfs"` // path to mount options
	ShmSize           int64             `json:"ShmSize"`
	Sysctls           map[string]string `json:"Sysctls"`
	CPUShares         int64             `json:"CpuShares"`
	Memory            int64             `json:"Memory"` // bytes, as the next two
	MemoryReservation int64             `json:"MemoryReservation"`
	MemorySwap        int64             `json:"MemorySwap"` // memory and swap together; -1 unlimited
	MemorySwappiness  *int64            `json:"MemorySwappiness"`
	PIDsLimit         *int64            `json:"PidsLimit"`
	Devices           []struct {
		PathOnHost        string `json:"PathOnHost"`
		PathInContainer   string `json:"PathInContainer"`
		CgroupPermissions string `json:"CgroupPermissions"`
	} `json:"Devices"`
	Ulimits []Ulimit `json:"Ulimits"`
	Init    *bool    `json:"Init"`
}

// decodeOver decodes one of dockerConfig's strings over what the payload's own members already filled in. A member that
// this agent does not honour is refused unless it is empty: ignoring it would run something other than what was asked.
func decodeOver(text string, known []string, into any) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return err
	}
	for name, value := range members {
		honoured := slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		if !honoured && !isEmptyJSON(value) {
			return fmt.Errorf("%s is not offered by this agent", name)
		}
	}
	return json.Unmarshal([]byte(text), into)
}

// isEmptyJSON reports whether a member says no more than its absence would.
func isEmptyJSON(value json.RawMessage) bool {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return false
	}
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case float64:
		return v == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, inner := range v {
			if text, err := json.Marshal(inner); err != nil || !isEmptyJSON(text) {
				return false
			}
		}
		return true
	}
	return false
}

var dockerConfigMembers = []string{
	"Hostname", "Domainname", "User", "Tty", "OpenStdin", "Env", "Cmd", "Entrypoint", "Image", "WorkingDir", "Labels",
	"StopSignal", "Healthcheck", "NetworkDisabled",
	// What follows changes nothing here: nobody attaches to a container of a task, ports come from portMappings.
	"AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce", "ExposedPorts",
}

var hostConfigMembers = []string{
	"LogConfig", "NetworkMode", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "Links", "IpcMode",
	"PidMode", "Privileged", "ReadonlyRootfs", "SecurityOpt", "Tmpfs", "ShmSize", "Sysctls", "CpuShares", "Memory",
	"MemoryReservation", "MemorySwap", "MemorySwappiness", "PidsLimit", "Devices", "Ulimits", "Init",
}
