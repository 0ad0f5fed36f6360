package edge

import "context"

type callerKey struct{}

// WithCaller notes who asks for what is done under the context, as causes of events name it.
func WithCaller(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// CallerOf is who asks; empty when nobody has noted it.
func CallerOf(ctx context.Context) string {
	who, _ := ctx.Value(callerKey{}).(string)
	return who
}
