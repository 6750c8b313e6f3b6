/* `hookwire check --plugin PATH`: opens a plugin in this process and says what it is.
 * The broker runs it in a child before it opens a changed file itself: a damaged one ends only the
 * child. */
#pragma once

/** Prints to stdout what the plugin is, or to stderr one line saying why it is none. Returns the
 * exit code, 0 or 1. The process is then good for nothing else: it gives itself 10 s, leaves no
 * core, and has opened the plugin. */
int hw_plugin_check(const char *path);
