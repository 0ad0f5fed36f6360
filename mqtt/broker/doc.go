// Package broker is a broker for gateways that have none, for the demonstration and
// for tests.
package broker

import (
	_ "github.com/mochi-mqtt/server/v2" // the broker itself
	_ "github.com/mochi-mqtt/server/v2/hooks/auth"
	_ "github.com/mochi-mqtt/server/v2/listeners"
)
