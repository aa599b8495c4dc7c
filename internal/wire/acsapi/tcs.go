package acsapi

// PublishMetricsRequest carries the telemetry of at most ten tasks.
type PublishMetricsRequest struct {
	Metadata    MetricsMetadata `json:"metadata"`
	TaskMetrics []TaskMetric    `json:"taskMetrics,omitzero"`
	Timestamp   float64         `json:"timestamp"` // seconds since 1970
}

// MetricsMetadata says whose metrics they are; Fin marks the last frame of a round.
type MetricsMetadata struct {
	Cluster           string `json:"cluster"`
	ContainerInstance string `json:"containerInstance"`
	MessageID         string `json:"messageId"`
	Idle              bool   `json:"idle"`
	Fin               bool   `json:"fin"`
}

// A TaskMetric is the telemetry of one task.
type TaskMetric struct {
	TaskArn               string            `json:"taskArn"`
	TaskDefinitionFamily  string            `json:"taskDefinitionFamily"`
	TaskDefinitionVersion string            `json:"taskDefinitionVersion"`
	ClusterArn            string            `json:"clusterArn,omitzero"`
	ContainerMetrics      []ContainerMetric `json:"containerMetrics"`
}

// A ContainerMetric is the telemetry of one container over one round.
type ContainerMetric struct {
	ContainerName string `json:"containerName"`
	ContainerArn  string `json:"containerArn,omitzero"`
	// CPU is in percent of the whole host, Memory in MiB less page cache.
	CPU     *StatsSet        `json:"cpuStatsSet,omitzero"`
	Memory  *StatsSet        `json:"memoryStatsSet,omitzero"`
	Network *NetworkStatsSet `json:"networkStatsSet,omitzero"`
	Storage *StorageStatsSet `json:"storageStatsSet,omitzero"`
	Restart *RestartStatsSet `json:"restartStatsSet,omitzero"`
}

// A StatsSet sums up the samples since the last publication; Sum/SampleCount is the average.
type StatsSet struct {
	Min         float64 `json:"min"`
	Max         float64 `json:"max"`
	Sum         float64 `json:"sum"`
	SampleCount int64   `json:"sampleCount"`
}

// A CounterSet is a StatsSet of running totals with room for large values.
type CounterSet struct {
	Min         int64 `json:"min"`
	Max         int64 `json:"max"`
	Sum         int64 `json:"sum"`
	SampleCount int64 `json:"sampleCount"`
	OverflowMin int64 `json:"overflowMin"`
	OverflowMax int64 `json:"overflowMax"`
	OverflowSum int64 `json:"overflowSum"`
}

// NetworkStatsSet is sent for bridge and awsvpc tasks only.
type NetworkStatsSet struct {
	RxBytes          *CounterSet `json:"rxBytes"`
	RxDropped        *CounterSet `json:"rxDropped"`
	RxErrors         *CounterSet `json:"rxErrors"`
	RxPackets        *CounterSet `json:"rxPackets"`
	TxBytes          *CounterSet `json:"txBytes"`
	TxDropped        *CounterSet `json:"txDropped"`
	TxErrors         *CounterSet `json:"txErrors"`
	TxPackets        *CounterSet `json:"txPackets"`
	RxBytesPerSecond *StatsSet   `json:"rxBytesPerSecond"`
	TxBytesPerSecond *StatsSet   `json:"txBytesPerSecond"`
}

// StorageStatsSet counts what the container read and wrote.
type StorageStatsSet struct {
	ReadSizeBytes  *CounterSet `json:"readSizeBytes"`
	WriteSizeBytes *CounterSet `json:"writeSizeBytes"`
}

// RestartStatsSet counts restarts in place.
type RestartStatsSet struct {
	RestartCount int64 `json:"restartCount"`
}

// PublishHealthRequest carries the health of at most ten tasks.
type PublishHealthRequest struct {
	Metadata  MetricsMetadata `json:"metadata"`
	Tasks     []TaskHealth    `json:"tasks"`
	Timestamp float64         `json:"timestamp"` // seconds since 1970
}

// TaskHealth lists a task's containers that have a health check.
type TaskHealth struct {
	TaskArn               string            `json:"taskArn"`
	TaskDefinitionFamily  string            `json:"taskDefinitionFamily"`
	TaskDefinitionVersion string            `json:"taskDefinitionVersion"`
	Containers            []ContainerHealth `json:"containers"`
}

// ContainerHealth is HEALTHY, UNHEALTHY or UNKNOWN, and since when.
type ContainerHealth struct {
	ContainerName string  `json:"containerName"`
	HealthStatus  string  `json:"healthStatus"`
	StatusSince   float64 `json:"statusSince"` // seconds since 1970
}

// PublishInstanceStatusRequest tells how the instance itself is, once per heartbeat.
type PublishInstanceStatusRequest struct {
	Metadata  InstanceStatusMetadata `json:"metadata"`
	Statuses  []InstanceStatus       `json:"statuses"`
	Timestamp float64                `json:"timestamp"` // seconds since 1970
}

// InstanceStatusMetadata says whose status it is.
type InstanceStatusMetadata struct {
	Cluster           string `json:"cluster"`
	ContainerInstance string `json:"containerInstance"`
	RequestID         string `json:"requestId"`
}

// An InstanceStatus is OK, IMPAIRED, INSUFFICIENT_DATA or INITIALIZING for one type.
type InstanceStatus struct {
	Type             string  `json:"type"` // ContainerRuntime, Agent, EBSDaemon, ACCELERATED_COMPUTE
	Status           string  `json:"status"`
	LastUpdated      float64 `json:"lastUpdated"`
	LastStatusChange float64 `json:"lastStatusChange"`
}

// PublishAck answers each TCS request; its type is the request's AckPublish… one.
type PublishAck struct {
	Message string `json:"message"`
}
