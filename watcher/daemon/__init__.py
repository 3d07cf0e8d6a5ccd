"""The long-running process: schedule, delivery loop, clock check, control socket and the service manager's protocol."""
