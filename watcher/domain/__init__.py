"""What `watcher` knows about jobs, rules, alerts and cancels: pure functions and plain values, no I/O and no clock."""
