"""Where sessions are read from: databases, files, archives, several of them as one."""
