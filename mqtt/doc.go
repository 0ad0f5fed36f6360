// Package mqtt owns the link: the connection between a node and its fleet, or its
// site, over MQTT 3.1.1.
package mqtt

import _ "github.com/eclipse/paho.mqtt.golang" // the client the session is built on
