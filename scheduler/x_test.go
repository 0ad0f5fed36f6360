package scheduler
import "errors"
var errTeachesNothing = errors.New("teaches nothing")
