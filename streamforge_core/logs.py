"""Where StreamForge's own log lines go: `config`, `DefaultLogger`, `SilentLogger`, `show_logs`."""
