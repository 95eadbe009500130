"""Work outside the kernel: a job's folder, its supervisor, its workers, where they run."""
