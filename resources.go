package gantry

import "slices"

// Plus is what both take together; ports and GPUs come out sorted.
func (r Resources) Plus(o Resources) Resources {
	return Resources{
		CPU:      r.CPU + o.CPU,
		Memory:   r.Memory + o.Memory,
		Ports:    union(r.Ports, o.Ports),
		UDPPorts: union(r.UDPPorts, o.UDPPorts),
		GPUs:     union(r.GPUs, o.GPUs),
	}
}

// Minus is what is left of r when o is given back. What r does not hold is passed over.
func (r Resources) Minus(o Resources) Resources {
	return Resources{
		CPU:      r.CPU - o.CPU,
		Memory:   r.Memory - o.Memory,
		Ports:    without(r.Ports, o.Ports),
		UDPPorts: without(r.UDPPorts, o.UDPPorts),
		GPUs:     without(r.GPUs, o.GPUs),
	}
}

func union[T interface{ ~uint16 | ~string }](a, b []T) []T {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func without[T comparable](a, b []T) []T {
	var out []T
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}
