"""The script that runs inside Lava's child process, alone in its folder: Lava's compiler executes every file beside the
module that a process is defined in."""
