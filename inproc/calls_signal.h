/* SPDX-License-Identifier: BSD-2-Clause */
/* Which signals the program's handlers have had. */
#ifndef INPROC_CALLS_SIGNAL_H
#define INPROC_CALLS_SIGNAL_H

#define SIGNALS_RESTART	  1u /* by a handler with SA_RESTART */
#define SIGNALS_INTERRUPT 2u /* without */

/* In this thread, since signals_forget(); what handlers' own calls forget does not count. */
unsigned int signals_handled(void);
void signals_forget(void);

/* In the child of a fork, before the section's end. */
void signals_forked(void);

#endif
