package clock

import (
	"context"
	"time"
)

func wrong(ctx context.Context, t time.Time) {
	_ = time.Now()                           // want `time: use of time.Now`
	_ = time.Since(t)                        // want `time: use of time.Since`
	_ = time.Until(t)                        // want `time: use of time.Until`
	<-time.After(1)                          // want `time: use of time.After` `chan: receive`
	_ = time.Tick(1)                         // want `time: use of time.Tick`
	_ = time.NewTimer(1)                     // want `time: use of time.NewTimer`
	_ = time.NewTicker(1)                    // want `time: use of time.NewTicker`
	time.Sleep(1)                            // want `time: use of time.Sleep`
	clock := time.Now                        // want `time: use of time.Now`
	_ = clock                                //
	_ = t.Local()                            // want `time: use of time.Local`
	_ = time.Unix(1, 0).String()             // want `time: time.Unix without .UTC`
	_, cancel := context.WithTimeout(ctx, 1) // want `time: use of context.WithTimeout`
	cancel()
}

func right(t time.Time, d time.Duration) string {
	if t.After(time.Unix(1, 0).UTC()) && d > 3*time.Second {
		return t.Add(d).UTC().String()
	}
	return ""
}
