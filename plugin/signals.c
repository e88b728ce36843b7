// SPDX-License-Identifier: GPL-2.0-only
/* See signals.h. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "signals.h"

/* SIGABRT: what a watchdog of systemd sends first. An abort() of criu's own ends it all the same. */
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT };
#define NR_SIGNALS (sizeof(signals) / sizeof(signals[0]))

static struct sigaction before[NR_SIGNALS];
static volatile sig_atomic_t held;
static bool known, holding;

static void note(int sig)
{
	held = sig;
}

void signals_read(void)
{
	for (size_t i = 0; i < NR_SIGNALS && !holding; i++)
		sigaction(signals[i], NULL, &before[i]);
	known = true;
}

/* Those that criu's caller ignores or handles do not kill it: they stay as they are. */
static void set(const struct sigaction *act)
{
	for (size_t i = 0; i < NR_SIGNALS; i++)
		if (before[i].sa_handler == SIG_DFL)
			sigaction(signals[i], act ?: &before[i], NULL);
}

void signals_hold(void)
{
	const struct sigaction act = { .sa_handler = note, .sa_flags = SA_RESTART };

	if (holding)
		return;
	if (!known)
		signals_read();
	holding = true;
	held = 0;
	set(&act);
}

int signals_held(void)
{
	return held;
}

int signals_release(void)
{
	if (!holding)
		return 0;
	holding = known = false;
	set(NULL);
	return held;
}
