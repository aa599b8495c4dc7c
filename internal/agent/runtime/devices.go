package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A deviceNode is a device in a container, and what may be done with it.
type deviceNode struct {
	device specs.LinuxDevice
	access string // of "rwm"
}

// findDevices looks up the host's nodes: all of them for a privileged
// container, else those the definition names. A directory stands for the
// devices in it.
func findDevices(s Spec) ([]deviceNode, error) {
	if s.Security.Privileged {
		all, err := oci.HostDevices()
		if err != nil {
			return nil, fmt.Errorf("list the host's devices: %w", err)
		}
		return nodes(all, "rwm"), nil
	}
	var found []deviceNode
	for _, d := range s.Devices {
		access := d.Permissions
		if access == "" {
			access = "rwm"
		}
		if strings.Trim(access, "rwm") != "" {
			return nil, fmt.Errorf("device %s: permissions %q are not of r, w and m", d.HostPath, d.Permissions)
		}
		list, err := deviceTree(d)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", d.HostPath, err)
		}
		found = append(found, nodes(list, access)...)
	}
	return found, nil
}

func deviceTree(d Device) ([]specs.LinuxDevice, error) {
	target := d.ContainerPath
	if target == "" {
		target = d.HostPath
	}
	real, err := filepath.EvalSymlinks(d.HostPath)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("no such device on this host")
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		device, err := oci.DeviceFromPath(real)
		if errors.Is(err, oci.ErrNotADevice) {
			return nil, errors.New("it is not a device")
		}
		if err != nil {
			return nil, err
		}
		device.Path = target
		return []specs.LinuxDevice{*device}, nil
	}
	var list []specs.LinuxDevice
	err = filepath.WalkDir(real, func(p string, entry os.DirEntry, err error) error {
		if err != nil || entry.Type()&os.ModeDevice == 0 {
			return err
		}
		device, err := oci.DeviceFromPath(p)
		if err != nil {
			return err
		}
		device.Path = filepath.Join(target, strings.TrimPrefix(p, real))
		list = append(list, *device)
		return nil
	})
	return list, err
}

func nodes(list []specs.LinuxDevice, access string) []deviceNode {
	out := make([]deviceNode, 0, len(list))
	for _, d := range list {
		out = append(out, deviceNode{device: d, access: access})
	}
	return out
}

// deviceRules forbid every device but the harmless ones, which runc adds
// itself, and those that the container was given.
func deviceRules(b blueprint) []specs.LinuxDeviceCgroup {
	if b.spec.Security.Privileged {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	for _, d := range b.devices {
		rules = append(rules, specs.LinuxDeviceCgroup{
			Allow: true, Type: d.device.Type, Major: new(d.device.Major), Minor: new(d.device.Minor), Access: d.access})
	}
	return rules
}
