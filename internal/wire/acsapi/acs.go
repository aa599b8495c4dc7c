package acsapi

import "encoding/json"

// HeartbeatMessage keeps the connection alive; any message does.
type HeartbeatMessage struct {
	MessageID string `json:"messageId"`
	Healthy   *bool  `json:"healthy,omitzero"`
}

// HeartbeatAckRequest answers a heartbeat.
type HeartbeatAckRequest struct {
	MessageID string `json:"messageId"`
}

// AckRequest says that a message was taken and recorded.
// Cluster and ContainerInstance are copied from the message acked.
type AckRequest struct {
	Cluster           string `json:"cluster"`
	ContainerInstance string `json:"containerInstance"`
	MessageID         string `json:"messageId"`
}

// NackRequest refuses an agent update.
type NackRequest struct {
	Cluster           string `json:"cluster"`
	ContainerInstance string `json:"containerInstance"`
	MessageID         string `json:"messageId"`
	Reason            string `json:"reason"`
}

// PayloadMessage tells the agent which tasks to run and which to stop.
type PayloadMessage struct {
	MessageID            string `json:"messageId"`
	ClusterArn           string `json:"clusterArn"`
	ContainerInstanceArn string `json:"containerInstanceArn"`
	GeneratedAt          int64  `json:"generatedAt"` // milliseconds since 1970
	SeqNum               int64  `json:"seqNum"`
	Tasks                []Task `json:"tasks"`
}

// A Task is everything an agent must know to run a task, or to stop one: then
// only its ARN, desired status, family and version count.
type Task struct {
	Arn                      string           `json:"arn"`
	TaskClusterArn           string           `json:"taskClusterArn,omitzero"`
	TaskDefinitionAccountID  string           `json:"taskDefinitionAccountId,omitzero"`
	Family                   string           `json:"family"`
	Version                  string           `json:"version"`
	DesiredStatus            string           `json:"desiredStatus"`
	CPU                      float64          `json:"cpu,omitzero"`    // vCPU, a hard limit; 0 means none
	Memory                   int64            `json:"memory,omitzero"` // MiB, a hard limit; 0 means none
	NetworkMode              string           `json:"networkMode,omitzero"`
	PIDMode                  string           `json:"pidMode,omitzero"`
	IPCMode                  string           `json:"ipcMode,omitzero"`
	LaunchType               string           `json:"launchType,omitzero"`
	ServiceName              string           `json:"serviceName,omitzero"`
	Group                    string           `json:"group,omitzero"`
	Zone                     string           `json:"zone,omitzero"`
	Overrides                string           `json:"overrides"`
	Containers               []Container      `json:"containers"`
	Volumes                  []Volume         `json:"volumes"`
	RoleCredentials          *RoleCredentials `json:"roleCredentials,omitzero"`
	ExecutionRoleCredentials *RoleCredentials `json:"executionRoleCredentials,omitzero"`
	Associations             []Association    `json:"associations,omitzero"`
	EnableFaultInjection     bool             `json:"enableFaultInjection,omitzero"`
}

// A Container of a payload. Environment is a map, unlike the API's list.
type Container struct {
	Name             string            `json:"name"`
	ContainerArn     string            `json:"containerArn,omitzero"`
	Image            string            `json:"image"`
	Command          []string          `json:"command"`
	EntryPoint       []string          `json:"entryPoint"`
	Essential        bool              `json:"essential"`
	Privileged       bool              `json:"privileged,omitzero"`
	CPU              int64             `json:"cpu"`    // CPU units, the weight at run time
	Memory           int64             `json:"memory"` // MiB, a hard limit; 0 means none
	Environment      map[string]string `json:"environment"`
	EnvironmentFiles []EnvironmentFile `json:"environmentFiles,omitzero"`
	Secrets          []Secret          `json:"secrets,omitzero"`
	PortMappings     []PortMapping     `json:"portMappings"`
	MountPoints      []MountPoint      `json:"mountPoints"`
	VolumesFrom      []VolumeFrom      `json:"volumesFrom"`
	Links            []string          `json:"links"`
	DockerConfig     DockerConfig      `json:"dockerConfig"`
	HealthCheckType  string            `json:"healthCheckType,omitzero"` // "docker" or nothing
	DependsOn        []DependsOn       `json:"dependsOn,omitzero"`
	StartTimeout     int64             `json:"startTimeout,omitzero"` // seconds
	StopTimeout      *int64            `json:"stopTimeout,omitzero"`  // seconds
	RestartPolicy    *RestartPolicy    `json:"restartPolicy,omitzero"`
	RegistryAuth     *RegistryAuth     `json:"registryAuthentication,omitzero"`
	LogsAuthStrategy string            `json:"logsAuthStrategy,omitzero"`
	LinuxParameters  *LinuxParameters  `json:"linuxParameters,omitzero"`
	Overrides        string            `json:"overrides"`
}

// An EnvironmentFile names a file of VARIABLE=VALUE lines.
type EnvironmentFile struct {
	Value string `json:"value"`
	Type  string `json:"type"`
}

// A Secret is fetched by the agent with the execution role.
type Secret struct {
	Name          string `json:"name"`
	ValueFrom     string `json:"valueFrom"`
	ContainerPath string `json:"containerPath,omitzero"`
	Type          string `json:"type,omitzero"`
	Region        string `json:"region,omitzero"`
	Provider      string `json:"provider,omitzero"`
	Target        string `json:"target,omitzero"`
}

// A PortMapping with HostPort 0 leaves the choice to the agent.
type PortMapping struct {
	ContainerPort      int64  `json:"containerPort,omitzero"`
	HostPort           int64  `json:"hostPort"`
	ContainerPortRange string `json:"containerPortRange,omitzero"` // "first-last"
	Protocol           string `json:"protocol"`
}

// A MountPoint mounts one of the task's volumes.
type MountPoint struct {
	SourceVolume  string `json:"sourceVolume"`
	ContainerPath string `json:"containerPath"`
	ReadOnly      bool   `json:"readOnly,omitzero"`
}

// A VolumeFrom takes over all mounts of another container of the task.
type VolumeFrom struct {
	SourceContainer string `json:"sourceContainer"`
	ReadOnly        bool   `json:"readOnly,omitzero"`
}

// DockerConfig carries what has no member of its own: Config and HostConfig are
// JSON strings in the shape of Docker's container Config and HostConfig.
type DockerConfig struct {
	Version    string `json:"version,omitzero"`
	Config     string `json:"config,omitzero"`
	HostConfig string `json:"hostConfig,omitzero"`
}

// A DependsOn is START, COMPLETE, SUCCESS or HEALTHY of another container.
type DependsOn struct {
	ContainerName string `json:"containerName"`
	Condition     string `json:"condition"`
}

// A RestartPolicy restarts a container in place.
type RestartPolicy struct {
	Enabled              bool    `json:"enabled"`
	IgnoredExitCodes     []int32 `json:"ignoredExitCodes,omitzero"`
	RestartAttemptPeriod int64   `json:"restartAttemptPeriod,omitzero"` // seconds
}

// RegistryAuth says how to log in to a registry.
type RegistryAuth struct {
	Type string          `json:"type"` // ecr or asm
	ECR  *ECRAuthData    `json:"ecrAuthData,omitzero"`
	ASM  json.RawMessage `json:"asmAuthData,omitzero"`
}

// ECRAuthData names an ECR registry and where its API is.
type ECRAuthData struct {
	RegistryID       string `json:"registryId"`
	Region           string `json:"region"`
	EndpointOverride string `json:"endpointOverride,omitzero"`
	UseExecutionRole bool   `json:"useExecutionRole"`
}

// LinuxParameters of a container; the rest of them travels in HostConfig.
type LinuxParameters struct {
	Capabilities       *Capabilities `json:"capabilities,omitzero"`
	Devices            []Device      `json:"devices,omitzero"`
	InitProcessEnabled bool          `json:"initProcessEnabled,omitzero"`
	SharedMemorySize   int64         `json:"sharedMemorySize,omitzero"` // MiB
}

// Capabilities of the kernel, added to or dropped from the runtime's default set.
type Capabilities struct {
	Add  []string `json:"add,omitzero"`
	Drop []string `json:"drop,omitzero"`
}

// A Device of the host, shown in the container.
type Device struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath,omitzero"`
	Permissions   []string `json:"permissions,omitzero"` // read, write, mknod
}

// A Volume of a task: Type is "host" or "docker", or of a kind not offered yet.
type Volume struct {
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Host   *HostVolume   `json:"host,omitzero"`
	Docker *DockerVolume `json:"dockerVolumeConfiguration,omitzero"`
}

// A HostVolume is a folder of the host; without SourcePath, one that lives as long as the task.
type HostVolume struct {
	SourcePath string `json:"sourcePath,omitzero"`
}

// A DockerVolume is a named volume; Scope is "task" or "shared".
type DockerVolume struct {
	Scope         string            `json:"scope,omitzero"`
	Autoprovision bool              `json:"autoprovision,omitzero"`
	Driver        string            `json:"driver,omitzero"`
	DriverOpts    map[string]string `json:"driverOpts,omitzero"`
	Labels        map[string]string `json:"labels,omitzero"`
}

// An Association ties accelerators to containers.
type Association struct {
	Name       string             `json:"name"`
	Type       string             `json:"type"` // gpu or elastic-inference
	Containers []string           `json:"containers"`
	Content    AssociationContent `json:"content"`
}

// AssociationContent is a value and how it is encoded.
type AssociationContent struct {
	Value    string `json:"value"`
	Encoding string `json:"encoding"` // identity or base64
}

// RoleCredentials are short-lived keys of a task's role.
type RoleCredentials struct {
	CredentialsID   string `json:"credentialsId"`
	RoleArn         string `json:"roleArn"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      string `json:"expiration"` // ISO 8601
}

// Role types of an IAMRoleCredentialsMessage.
const (
	RoleTypeApplication = "TaskApplication"
	RoleTypeExecution   = "TaskExecution"
)

// IAMRoleCredentialsMessage brings new keys for a running task.
type IAMRoleCredentialsMessage struct {
	MessageID       string          `json:"messageId"`
	TaskArn         string          `json:"taskArn"`
	TaskClusterArn  string          `json:"taskClusterArn,omitzero"`
	RoleType        string          `json:"roleType"`
	RoleCredentials RoleCredentials `json:"roleCredentials"`
}

// IAMRoleCredentialsAckRequest answers new keys; Expiration is copied from them.
type IAMRoleCredentialsAckRequest struct {
	MessageID     string `json:"messageId"`
	Expiration    string `json:"expiration"`
	CredentialsID string `json:"credentialsId"`
}

// TaskManifestMessage is the full list of what should be on the instance.
// Its Timeline shares one number line with the payloads' SeqNum.
type TaskManifestMessage struct {
	MessageID            string           `json:"messageId"`
	ClusterArn           string           `json:"clusterArn"`
	ContainerInstanceArn string           `json:"containerInstanceArn"`
	GeneratedAt          int64            `json:"generatedAt"` // milliseconds since 1970
	Timeline             int64            `json:"timeline"`
	Tasks                []TaskIdentifier `json:"tasks"`
}

// TaskStopVerificationMessage asks whether tasks that a manifest lacks may be stopped.
type TaskStopVerificationMessage struct {
	MessageID      string           `json:"messageId"`
	StopCandidates []TaskIdentifier `json:"stopCandidates"`
}

// TaskStopVerificationAck allows it, for the tasks it names. MessageID is the manifest's.
type TaskStopVerificationAck struct {
	MessageID   string           `json:"messageId"`
	GeneratedAt int64            `json:"generatedAt"`
	StopTasks   []TaskIdentifier `json:"stopTasks"`
}

// A TaskIdentifier names a task and what is wanted of it.
type TaskIdentifier struct {
	TaskArn        string `json:"taskArn"`
	TaskClusterArn string `json:"taskClusterArn"`
	DesiredStatus  string `json:"desiredStatus"`
}
