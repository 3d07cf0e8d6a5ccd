"""What thousands of jobs cost: `make bench-load`; the figures are explained in docs/explanation/performance.md."""
