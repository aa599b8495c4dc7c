package ecsapi

import "gantry/internal/wire"

// Describing a hundred tasks would spend most of its time on writing JSON that was written before. So the describes
// take JSON made earlier, one fragment per task and revision, and copy it.

// AppendJSON writes EncodedTasks in place of Tasks where they are set.
func (out *DescribeTasksOutput) AppendJSON(dst []byte) ([]byte, error) {
	type plain DescribeTasksOutput
	rest := plain(*out)
	if out.EncodedTasks == nil {
		return wire.AppendJSON(dst, &rest)
	}
	rest.Tasks = nil
	return wire.AppendEncoded(dst, "tasks", out.EncodedTasks, &rest)
}

// AppendJSON writes EncodedServices in place of Services where they are set.
func (out *DescribeServicesOutput) AppendJSON(dst []byte) ([]byte, error) {
	type plain DescribeServicesOutput
	rest := plain(*out)
	if out.EncodedServices == nil {
		return wire.AppendJSON(dst, &rest)
	}
	rest.Services = nil
	return wire.AppendEncoded(dst, "services", out.EncodedServices, &rest)
}

// AppendJSON writes EncodedContainerInstances in place of ContainerInstances where they are set.
func (out *DescribeContainerInstancesOutput) AppendJSON(dst []byte) ([]byte, error) {
	type plain DescribeContainerInstancesOutput
	rest := plain(*out)
	if out.EncodedContainerInstances == nil {
		return wire.AppendJSON(dst, &rest)
	}
	rest.ContainerInstances = nil
	return wire.AppendEncoded(dst, "containerInstances", out.EncodedContainerInstances, &rest)
}

// MarshalJSON is AppendJSON for those who do not know of it, so that no encoder loses the encoded items.
func (out *DescribeTasksOutput) MarshalJSON() ([]byte, error) { return out.AppendJSON(nil) }

// MarshalJSON is AppendJSON for those who do not know of it, so that no encoder loses the encoded items.
func (out *DescribeServicesOutput) MarshalJSON() ([]byte, error) { return out.AppendJSON(nil) }

// MarshalJSON is AppendJSON for those who do not know of it, so that no encoder loses the encoded items.
func (out *DescribeContainerInstancesOutput) MarshalJSON() ([]byte, error) {
	return out.AppendJSON(nil)
}
