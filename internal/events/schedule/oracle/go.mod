module gantry/internal/events/schedule/oracle

go 1.26.6

replace gantry => ../../../..

require (
	gantry v0.0.0
	github.com/adhocore/gronx v1.20.4
	github.com/reugn/go-quartz v0.15.2
)
