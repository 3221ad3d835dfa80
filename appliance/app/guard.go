package app

import "context"

// deaf is in the log where nothing tells what strangers do.
const deaf = "strangers' changes are noticed by reading only"

// guard closes the router at once when somebody takes its rules away, and has
// them put back, until ctx ends.
func (a *App) guard(ctx context.Context) error {
	w, err := a.kernel.Watch()
	if err != nil || w == nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = w.Close() })
	go func() {
		for {
			if err := w.Next(); err != nil {
				if ctx.Err() == nil {
					a.log.Error(deaf, "err", err)
				}
				return
			}
			closed, err := a.plane.Guard(ctx, w.Closed)
			if closed || err != nil {
				a.log.Warn("rules were taken away: nothing is forwarded until they are back", "err", err)
				a.agent.Heal()
			}
		}
	}()
	return nil
}
