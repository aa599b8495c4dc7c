/*
 * init is process 1 of a container: it runs the program it is given, passes
 * signals on to it, reaps every orphan, and ends with the program's exit code
 * (128 + signal number if a signal ended it), as docker-init does.
 *
 * "init -hold" runs nothing: it reaps orphans and waits for SIGTERM. It holds
 * the namespaces that the containers of one task share.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit codes that shells and Docker use for a program that cannot be started. */
enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

static pid_t start(char **argv, const sigset_t *old) {
	pid_t child = fork();
	if (child != 0)
		return child;
	/* A process group of its own, in the foreground of the terminal if there is one. */
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	if (isatty(STDIN_FILENO))
		tcsetpgrp(STDIN_FILENO, getpgrp());
	signal(SIGTTOU, SIG_DFL);
	sigprocmask(SIG_SETMASK, old, NULL);
	execvp(argv[0], argv);
	int code = errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
	fprintf(stderr, "exec %s: %s\n", argv[0], strerror(errno));
	_exit(code);
}

/* reap collects everything that has ended; it returns 1 once child is among them. */
static int reap(pid_t child, int *code) {
	int seen = 0;
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return seen;
		if (pid != child)
			continue;
		seen = 1;
		*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

int main(int argc, char **argv) {
	sigset_t all, old;
	sigfillset(&all);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGTRAP);
	sigdelset(&all, SIGSYS);
	sigdelset(&all, SIGTTIN);
	sigdelset(&all, SIGTTOU);
	sigprocmask(SIG_BLOCK, &all, &old);

	int hold = argc == 2 && strcmp(argv[1], "-hold") == 0;
	char **program = argv + 1;
	if (!hold && *program && strcmp(*program, "--") == 0)
		program++;
	if (!hold && !*program) {
		fprintf(stderr, "usage: init [--] program [argument...]\n");
		return NOT_FOUND;
	}

	pid_t child = hold ? -1 : start(program, &old);
	if (!hold && child < 0) {
		fprintf(stderr, "start %s: %s\n", program[0], strerror(errno));
		return NOT_EXECUTABLE;
	}
	for (;;) {
		siginfo_t info;
		int code = 0, sig = sigwaitinfo(&all, &info);
		if (sig < 0)
			continue;
		if (sig == SIGCHLD) {
			if (reap(child, &code) && !hold)
				return code;
		} else if (hold) {
			if (sig == SIGTERM || sig == SIGINT)
				return 0;
		} else {
			kill(child, sig);
		}
	}
}
