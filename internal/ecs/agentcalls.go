package ecs

import (
	"context"

	"gantry/internal/wire/ecsapi"
)

// discoverPollEndpoint tells an agent where its websockets are. Service Connect and
// system logs have no endpoint here, so that none is named.
func (s *Service) discoverPollEndpoint(ctx context.Context, in *ecsapi.DiscoverPollEndpointInput) (*ecsapi.DiscoverPollEndpointOutput, error) {
	at := s.cfg.Endpoints(ctx)
	return &ecsapi.DiscoverPollEndpointOutput{Endpoint: &at.ACS, TelemetryEndpoint: &at.TCS}, nil
}
