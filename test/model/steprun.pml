/*
 * One StepRun, the parent, and one that depends on it, the child: how they are claimed, committed, taken over and handed over while workers and
 * sweepers die, replies and acknowledgements are lost, tasks come twice or never, and the store forgets its last writes. doc.go says what
 * is modelled, what is left out and how to run this by hand.
 *
 * Every script of the store is one indivisible step (d_step), as it is in Redis. Everything between two scripts is a point at which any
 * other process may go on, or this one may die.
 *
 * Macros chosen with -D:
 *   FAULTS=n        how many faults may happen in all (default 2)
 *   ROLLBACK=n      the store may once forget up to its last n changes (default 0: never)
 *   FAILING         handlers may return errors (each is a fault of the budget); an operator may retry a failed step once
 *   LATE            a copy of a call may be on its way while the call is repeated, and be carried out at any later moment (a fault of the budget)
 *   CALLS_ONLY      faults are lost replies, late calls and errors of handlers only; so more of them can be tried
 *   LIVE            for the property "ends", with pan -a -f
 *   COVER           pan prints each event when it is reached for the first time; without it events are printed when a trail is replayed
 * Mutations, each of which the verifier must reject:
 *   LATE_BEGIN      begin takes a nonce that has settled an attempt of the step (see "What it found" in doc.go)
 *   NO_NONCE        complete, fail and release accept whoever calls
 *   HANDOVER_FIRST  the child is queued and handed over before the parent's commit
 *   NO_CAS          reissue does not compare what it finds with what was seen
 *   NO_DOUBT        handed_over leaves no doubt behind
 *   NO_TAKEOVER     the sweeper leaves dead claims alone
 */

#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ROLLBACK
#define ROLLBACK 0
#endif
#ifdef CALLS_ONLY
#define ROUGH 0
#else
#define ROUGH 1
#endif
#ifdef NO_TAKEOVER
#define TAKES_OVER 0
#else
#define TAKES_OVER 1
#endif

#define WORKERS 2
#define EPOCHS  5 /* more than any budget used here can reach: asserted in queue() */
#define NONCES  9 /* more than can be held at once: asserted in take() */
#define USED_UP 15 /* in place of the nonce of a worker that will ask the store no more */
#define MAXFAIL 2 /* max_attempts of a step */

/* An event of the protocol that must be reached: the test collects the names from this file. */
#ifdef COVER
c_decl {
	static int reached_event(int *seen, const char *name) {
		if (!*seen) { *seen = 1; printf("reached: %s\n", name); }
		return 1;
	}
};
#define EVENT(name) c_code { { static int seen; reached_event(&seen, name); } }
#else
#define EVENT(name) printf(name); printf("\n")
#endif

/* Names of the two steps. */
#define P 0
#define C 1

/* States of a StepRun. */
#define PENDING   0
#define QUEUED    1
#define RUNNING   2
#define RETRYING  3
#define SUCCEEDED 4
#define FAILED    5

/* Replies of scripts. */
#define RUN     1
#define BUSY    2
#define DONE    3 /* begin: DONE, STALE; complete, fail, release: FENCED. The wrapper drops the task in each case. */
#define DEAD    4 /* begin: FAILED; fail: OK failed. The wrapper has the task archived. */
#define OK      5
#define AGAIN   6 /* fail: OK retrying, OK_ALREADY retrying. The wrapper has the task retried. */
#define RACED   7

/* States of a task in asynq. WAITING stands for pending, scheduled and retry: it will be delivered. */
#define NONE     0
#define WAITING  1
#define ACTIVE   2
#define ARCHIVED 3
#define ZOMBIE   4 /* the hash is lost, its ID conflicts for ever, nobody is given it */

/* What a worker tells asynq. */
#define NOTHING 0
#define DROP    1 /* nil */
#define LATER   2 /* an error: deliver it again */
#define ARCHIVE 3 /* SkipRetry */

/* ---- the store: what one partition holds of the two steps ---- */

typedef Step {
	byte state;
	byte epoch;
	byte claim;    /* nonce; 0 is none */
	byte done;     /* nonce that settled last; forgotten as soon as nobody holds it, for only its holder could ask */
	bit  expired;  /* the lease of the claim is over */
	bit  send;     /* agenda: send:ID:step:epoch */
	bit  doubt;    /* doubts: ID:step */
	byte parents;  /* <child>:ok */
	byte failures;
	byte commits;  /* history: how often this step was committed. It is rolled back with the rest, so it counts the surviving history */
}

Step st[2];
Step snap[2];      /* what Redis will remember if it forgets */
short taken;       /* history: bit n is set when claim n was taken over; rolled back as well */
short snap_taken;
byte armed;        /* 0: Redis has not begun to forget; 1: what is written now may be lost; 2: no more */
byte writes;       /* since armed */

/* ---- asynq: a view ---- */

byte task[2 * EPOCHS];
#define T(s, e) ((s) * EPOCHS + (e) - 1)

/* ---- the memory of processes ---- */

typedef Memory {
	byte nonce;    /* 0: nothing in hand */
	byte step;
	byte epoch;
}

Memory w[WORKERS];
Memory view;       /* what the sweeper saw; nonce is the claim then */
byte seen_state;   /* state of the step then */
byte faults = FAULTS;
byte fails[2];     /* history: handlers that returned an error; never rolled back */

#ifdef LATE
Memory ghost;      /* a call that is still on its way */
byte ghost_verb;
#define ghost_nonce ghost.nonce
#define BEGIN    1
#define COMPLETE 2
#define FAIL     3
#else
#define ghost_nonce 0
#endif

/* What must never become true; named so that a report of the verifier reads as the reason. */
bit stale_claim_committed, committed_twice, child_before_parent, stranded, failure_counted_twice;

#define bitof(n)   (1 << (n))
#define settled(s) (st[s].state == SUCCEEDED || st[s].state == FAILED)
#define ended      (st[P].state == FAILED || settled(C))
#define held(s, e) ((w[0].nonce && w[0].step == s && w[0].epoch == e) || (w[1].nonce && w[1].step == s && w[1].epoch == e))
#define orphan(s)  (st[s].claim != w[0].nonce && st[s].claim != w[1].nonce)
#define dead(s)    (st[s].state == RUNNING && (st[s].expired || orphan(s)))

/* What must not be of a step: nobody would ever come back to it, or two would. */
#define lost(s) ((st[s].state == QUEUED && st[s].send == st[s].doubt) || (st[s].state != QUEUED && st[s].send) || \
	(st[s].state == RETRYING && !st[s].doubt) || (st[s].state == RUNNING && !st[s].claim))

/* wrote closes every script that changed something. It checks the rule of the store that lets nothing strand (design, "Where truth lives": a queued step
 * has either a send or a doubt), and counts what Redis may forget. */
inline wrote() {
	stranded = stranded || lost(P) || lost(C);
	assert(!stranded);
	if
	:: armed == 1 && writes == ROLLBACK -> forget_snapshot(); armed = 0 /* what was before is safe; anything later may still be lost */
	:: armed == 1 && writes < ROLLBACK -> writes++
	:: else
	fi
}

inline clear(REC) {
	REC.state = 0; REC.epoch = 0; REC.claim = 0; REC.done = 0; REC.expired = 0; REC.send = 0; REC.doubt = 0; REC.parents = 0; REC.failures = 0; REC.commits = 0
}

inline copy(TO, FROM) {
	TO.state = FROM.state; TO.epoch = FROM.epoch; TO.claim = FROM.claim; TO.done = FROM.done; TO.expired = FROM.expired;
	TO.send = FROM.send; TO.doubt = FROM.doubt; TO.parents = FROM.parents; TO.failures = FROM.failures; TO.commits = FROM.commits
}

inline forget_snapshot() {
	clear(snap[P]); clear(snap[C]);
	snap_taken = 0; writes = 0
}

/*
 * queue.lua> queue issues a step anew: next epoch, what was left of the last one dropped.
 * queue.lua> write_step(s, t, {state = 'queued', epoch = t.epoch + 1,
 * queue.lua> redis.call('ZADD', s.agenda, due > 0 and due or s.now + 1000, 'send:' .. s.id .. ':' .. t.name .. ':' .. t.epoch)
 */
inline queue(STEP) {
	st[STEP].state = QUEUED; st[STEP].epoch++; st[STEP].claim = 0; st[STEP].expired = 0;
	st[STEP].doubt = 0; st[STEP].send = 1;
	assert(st[STEP].epoch <= EPOCHS)
}

/*
 * The child has one parent.
 * settle.lua> settle tells a step's outcome to its children, and queues those that became ready.
 * settle.lua> if outcome == 'ok' and count == child.parents then
 * settle.lua> queue(s, {name = n, epoch = 0, handler = child.handler, queue = child.queue}, 0)
 */
inline settle_ok() {
	st[C].parents++;
	if
	:: st[C].parents == 1 && st[C].state == PENDING -> EVENT("settle: child queued"); st[C].epoch = 0; queue(C)
	:: else
	fi
}

/*
 * begin.lua> begin claims a delivered step for a nonce. The same nonce again gets the same answer. It never takes a claim over.
 * begin.lua> if t.state == '' or t.epoch ~= epoch or s.digest ~= digest then return {'STALE', 0} end
 * begin.lua> if t.state == 'succeeded' or t.state == 'skipped' or t.state == 'cancelled' then return {'DONE', 0} end
 * begin.lua> if t.state == 'failed' then return {'FAILED', 0} end
 * begin.lua> local mine = t.state == 'running' and t.claim == nonce
 * begin.lua> if t.done == nonce then return {'STALE', 0} end
 * begin.lua> if t.state == 'running' then return {'BUSY', math.max(0, t.lease - s.now)} end
 * begin.lua> state = 'running', claim = nonce, lease = s.now + ttl,
 * begin.lua> if redis.call('ZREM', s.agenda, 'send:' .. member .. ':' .. epoch) == 0 then redis.call('ZREM', s.doubts, member) end
 */
inline begin(STEP, EPOCH, NONCE) {
	if
	:: st[STEP].state == PENDING || st[STEP].epoch != EPOCH -> EVENT("begin: STALE"); r = DONE
	:: else ->
		if
		:: st[STEP].state == SUCCEEDED -> EVENT("begin: DONE"); r = DONE
		:: st[STEP].state == FAILED -> EVENT("begin: FAILED"); r = DEAD
		:: st[STEP].state == RUNNING && st[STEP].claim == NONCE -> EVENT("begin: same nonce again"); r = RUN
#ifndef LATE_BEGIN
		:: (st[STEP].state == QUEUED || st[STEP].state == RETRYING || (st[STEP].state == RUNNING && st[STEP].claim != NONCE)) && st[STEP].done == NONCE ->
			EVENT("begin: settled nonce refused"); r = DONE
		:: st[STEP].state == RUNNING && st[STEP].claim != NONCE && st[STEP].done != NONCE -> EVENT("begin: BUSY"); r = BUSY
#else
		:: st[STEP].state == RUNNING && st[STEP].claim != NONCE -> EVENT("begin: BUSY"); r = BUSY
#endif
		:: else ->
			EVENT("begin: RUN");
			child_before_parent = child_before_parent || (STEP == C && st[P].commits == 0);
			assert(!child_before_parent);
			st[STEP].state = RUNNING; st[STEP].claim = NONCE; st[STEP].expired = 0;
			if
			:: st[STEP].send -> st[STEP].send = 0
			:: else -> st[STEP].doubt = 0
			fi;
			wrote();
			r = RUN
		fi
	fi
}

/*
 * heartbeat.lua> heartbeat renews a claim, however late.
 * heartbeat.lua> if t.state == 'running' and t.claim == nonce then
 */
#define renewable(s, n) (st[s].state == RUNNING && st[s].claim == n && st[s].expired)

/*
 * Whether the caller may settle.
 * answer.lua> if t.state == 'running' and t.claim == nonce then return nil end
 * answer.lua> return answer(s, t, t.done == nonce and 'OK_ALREADY' or 'FENCED')
 */
#ifdef NO_NONCE
#define holds(s, n) (st[s].state == RUNNING)
#else
#define holds(s, n) (st[s].state == RUNNING && st[s].claim == n)
#endif

/*
 * complete.lua> complete commits a claimed step's output and queues the children that became ready.
 * complete.lua> write_step(s, t, {state = 'succeeded', done = nonce, claim = '',
 * complete.lua> settle(s, children, 'ok')
 */
inline complete(STEP, NONCE) {
	if
	:: holds(STEP, NONCE) ->
		EVENT("complete: OK");
		stale_claim_committed = stale_claim_committed || (taken & bitof(NONCE));
		assert(!stale_claim_committed);
		st[STEP].state = SUCCEEDED; st[STEP].done = NONCE; st[STEP].claim = 0; st[STEP].expired = 0;
		st[STEP].commits++;
		committed_twice = committed_twice || st[STEP].commits > 1;
		assert(!committed_twice);
		r = OK;
#ifndef HANDOVER_FIRST
		if
		:: STEP == P -> settle_ok()
		:: else
		fi;
#endif
		wrote()
	:: !holds(STEP, NONCE) && st[STEP].done == NONCE -> EVENT("complete: OK_ALREADY"); r = DONE
	:: else -> EVENT("complete: FENCED"); r = DONE
	fi
}

#ifdef FAILING
/*
 * The same epoch is delivered again by asynq.
 * fail.lua> fail commits a failed attempt: the step is tried again after the delay, or is failed for good and becomes a dead letter.
 * fail.lua> elseif why.retryable and t.failures < frozen.max_attempts then
 * fail.lua> write_step(s, t, {state = 'retrying', due = s.now + delay})
 */
inline fail(STEP, NONCE) {
	if
	:: holds(STEP, NONCE) ->
		stale_claim_committed = stale_claim_committed || (taken & bitof(NONCE));
		assert(!stale_claim_committed);
		st[STEP].failures++;
		failure_counted_twice = failure_counted_twice || st[STEP].failures > fails[STEP];
		assert(!failure_counted_twice);
		st[STEP].done = NONCE; st[STEP].claim = 0; st[STEP].expired = 0;
		if
		:: st[STEP].failures < MAXFAIL -> EVENT("fail: OK retrying"); st[STEP].state = RETRYING; st[STEP].doubt = 1; r = AGAIN
		:: else -> EVENT("fail: OK failed"); st[STEP].state = FAILED; r = DEAD
		fi;
		wrote()
	:: !holds(STEP, NONCE) && st[STEP].done == NONCE ->
		EVENT("fail: OK_ALREADY");
		if
		:: st[STEP].state == RETRYING -> r = AGAIN
		:: st[STEP].state == FAILED -> r = DEAD
		:: else -> r = DONE
		fi
	:: else -> EVENT("fail: FENCED"); r = DONE
	fi
}
#endif

/*
 * release.lua> release gives a claimed step back without a failure or a crash.
 * release.lua> write_step(s, t, {done = nonce})
 * release.lua> queue(s, t, 0)
 */
inline release(STEP, NONCE) {
	if
	:: holds(STEP, NONCE) ->
		EVENT("release: OK");
		stale_claim_committed = stale_claim_committed || (taken & bitof(NONCE));
		assert(!stale_claim_committed);
		st[STEP].done = NONCE;
		queue(STEP);
		wrote()
	:: !holds(STEP, NONCE) && st[STEP].done == NONCE -> EVENT("release: OK_ALREADY")
	:: else -> EVENT("release: FENCED")
	fi
}

/*
 * reissue.lua> reissue gives a step that lost its task or its worker a new epoch, if it still is as it was seen.
 * reissue.lua> t.state ~= state or t.epoch ~= epoch or t.claim ~= nonce then return answer(s, t, 'RACED') end
 * reissue.lua> if state == 'running' and t.lease > s.now then return answer(s, t, 'ALIVE') end
 */
#ifdef NO_CAS
#define as_seen(s) (st[s].state != PENDING)
#else
#define as_seen(s) (st[s].state == seen_state && st[s].epoch == view.epoch && st[s].claim == view.nonce)
#endif

inline reissue(STEP) {
	if
	:: !as_seen(STEP) -> EVENT("reissue: RACED")
	:: as_seen(STEP) && seen_state == RUNNING && st[STEP].state == RUNNING && !dead(STEP) -> EVENT("reissue: ALIVE")
	:: else ->
		if
		:: seen_state == RUNNING -> EVENT("reissue: claim taken over")
		:: seen_state == QUEUED -> EVENT("reissue: queued step without its task")
		:: seen_state == RETRYING -> EVENT("reissue: retrying step without its task")
		fi;
		if
		:: !orphan(STEP) || ghost_nonce == st[STEP].claim -> taken = taken | bitof(st[STEP].claim)
		:: else
		fi;
		queue(STEP);
		wrote()
	fi
}

/*
 * handed_over.lua> handed_over drops the send entries of deliveries that the queue has accepted, and notes when to look after those that still wait.
 * handed_over.lua> if v[1] == 'queued' and v[2] == epoch then redis.call('ZADD', s.doubts, s.now + 30000, id .. ':' .. step) end
 */
#ifdef NO_DOUBT
#define WITH_DOUBT 0
#else
#define WITH_DOUBT 1
#endif

inline handed_over(STEP, EPOCH) {
	if
	:: st[STEP].send && st[STEP].epoch == EPOCH ->
		EVENT("handed_over: a doubt instead of the send");
		st[STEP].send = 0; st[STEP].doubt = WITH_DOUBT;
		wrote()
	:: else -> EVENT("handed_over: nothing to drop")
	fi
}

/* Enqueue: a task whose ID asynq knows is a conflict, and means "handed over". */
inline enqueue(STEP, EPOCH) {
	if
	:: task[T(STEP, EPOCH)] == NONE -> task[T(STEP, EPOCH)] = WAITING
	:: else -> EVENT("enqueue: conflict")
	fi
}

/* ---- processes ---- */

#define used(n) (w[0].nonce == n || w[1].nonce == n || st[P].claim == n || st[C].claim == n || \
	snap[P].claim == n || snap[C].claim == n || view.nonce == n || ghost_nonce == n)

/* take begins a delivery: asynq gives a task to an idle worker, which thinks of a nonce that nobody else has. Random nonces are modelled by the
 * smallest number that is in use nowhere, so that runs that differ in names only are one. */
inline take(WHO, TASK) {
	n = 1;
	do
	:: used(n) -> n++
	:: else -> break
	od;
	assert(n < NONCES);
	task[TASK] = ACTIVE;
	w[WHO].step = TASK / EPOCHS; w[WHO].epoch = TASK % EPOCHS + 1; w[WHO].nonce = n;
	n = 0
}

/* A nonce that nobody holds can neither settle nor be settled any more: what the store and the history know of it makes no difference. */
inline unheld(REC, NONCE) {
	if
	:: REC.done == NONCE -> REC.done = 0
	:: else
	fi;
	if
	:: REC.claim == NONCE -> REC.expired = 0
	:: else
	fi
}

inline put_away(NONCE) {
	if
	:: w[0].nonce == NONCE || w[1].nonce == NONCE || ghost_nonce == NONCE
	:: else ->
		unheld(st[P], NONCE); unheld(st[C], NONCE); unheld(snap[P], NONCE); unheld(snap[C], NONCE);
		taken = taken & ~bitof(NONCE);
		snap_taken = snap_taken & ~bitof(NONCE)
	fi
}

/* answered ends the use of a nonce: its worker asks the store no more. */
inline answered(WHO) {
	n = w[WHO].nonce;
	w[WHO].nonce = USED_UP;
	put_away(n);
	n = 0; r = 0
}

/* drop ends a delivery in the memory of its worker, by its end or by the worker's death. */
inline drop(WHO) {
	n = w[WHO].nonce;
	w[WHO].nonce = 0; w[WHO].step = 0; w[WHO].epoch = 0;
	if
	:: n != USED_UP -> put_away(n)
	:: else
	fi;
	n = 0; r = 0; ack = NOTHING; hand = 0
}

inline over(WHO) {
	if
	:: ack == NOTHING && hand == 0 -> drop(WHO)
	:: else
	fi
}

#define CRASH(text) d_step { faults > 0 && ROUGH -> faults--; EVENT(text); drop(me) }; goto answer
#define FAULT       faults > 0 -> faults--

/* A copy of the call stays on its way. The worker has no reply and repeats the call. */
#ifdef LATE
#define DELAYED(verb) d_step { faults > 0 && !ghost_verb -> faults--; EVENT("call delayed"); ghost_verb = verb; \
	ghost.nonce = w[me].nonce; ghost.step = w[me].step; ghost.epoch = w[me].epoch }
#endif

#define ME w[me]

/* The wrapper around a handler (asynqueue.Worker): begin, the handler, complete or fail or release, the children handed over, the answer for asynq. It
 * repeats each call with the same nonce until it is answered. */
proctype Worker(byte me) {
	byte r, n, ack, hand;

#define TAKE(i) \
	:: d_step { !ME.nonce && task[i] == WAITING && (me == 0 || w[0].nonce) -> EVENT("worker: task delivered"); take(me, i) }; goto claiming

end_idle: /* nothing in hand; worker 1 takes a task only when worker 0 is busy, for idle workers are alike */
answer:   /* asynq's answer and the hand-over go on beside each other */
	if
	TAKE(0)
	TAKE(1)
	TAKE(2)
	TAKE(3)
	TAKE(4)
	TAKE(5)
	TAKE(6)
	TAKE(7)
	TAKE(8)
	TAKE(9)
	:: d_step { hand == 1 -> EVENT("worker: child handed over"); enqueue(C, 1); hand = 2 }; goto answer
	:: d_step { hand == 1 && faults > 0 -> faults--; EVENT("worker: enqueue refused"); hand = 0; over(me) }; goto answer
	:: d_step { hand == 2 -> EVENT("worker: child reported"); handed_over(C, 1); hand = 0; over(me) }; goto answer
	:: d_step { hand == 2 -> EVENT("worker: child not reported"); hand = 0; over(me) }; goto answer /* reports are optional */
	:: d_step {
		ack != NOTHING ->
		if
		:: task[T(ME.step, ME.epoch)] == ACTIVE -> /* whoever has it: asynq does not fence */
			if
			:: ack == DROP -> task[T(ME.step, ME.epoch)] = NONE
			:: ack == LATER -> task[T(ME.step, ME.epoch)] = WAITING
			:: ack == ARCHIVE -> task[T(ME.step, ME.epoch)] = ARCHIVED
			fi
		:: else -> EVENT("worker: ack finds no active task")
		fi;
		ack = NOTHING;
		over(me)
		}; goto answer
	:: d_step { ack != NOTHING && faults > 0 -> faults--; EVENT("worker: ack lost"); ack = NOTHING; over(me) }; goto answer
	:: d_step { (ack != NOTHING || hand) && faults > 0 -> faults--; EVENT("worker: crash before ack or hand-over"); drop(me) }; goto answer
	fi;

claiming:
	if
	:: atomic {
		d_step { begin(ME.step, ME.epoch, ME.nonce) }
		if
		:: r == RUN -> r = 0; goto work
		:: r == BUSY -> ack = LATER
		:: r == DONE -> ack = DROP
		:: r == DEAD -> ack = ARCHIVE
		fi;
		d_step { answered(me) }; goto answer
		}
	:: d_step { FAULT; EVENT("worker: reply of begin lost"); begin(ME.step, ME.epoch, ME.nonce); r = 0 }; goto claiming
#ifdef LATE
	:: DELAYED(BEGIN); goto claiming
#endif
	:: CRASH("worker: crash before begin")
	fi;

#define COMPLETE_ANSWERED \
	:: d_step { \
		complete(ME.step, ME.nonce); \
		ack = DROP; \
		if \
		:: r == OK && ME.step == P -> hand = 1 \
		:: else \
		fi; \
		answered(me) }; goto answer \
	:: d_step { FAULT; EVENT("worker: reply of complete lost"); complete(ME.step, ME.nonce); r = 0 }; goto committing

work:
	if
#ifdef HANDOVER_FIRST
	:: d_step { ME.step == P -> settle_ok(); enqueue(C, 1); wrote() }; goto committing
	:: ME.step == C -> goto committing
#else
	COMPLETE_ANSWERED
#endif
	:: d_step { renewable(ME.step, ME.nonce) -> EVENT("heartbeat: late, and OK"); st[ME.step].expired = 0 }; goto work
	:: d_step { FAULT; EVENT("worker: shut down while the handler runs") }; goto releasing
#ifdef FAILING
	:: d_step { FAULT; EVENT("worker: handler returned an error"); fails[ME.step]++ }; goto failing
#endif
#ifdef LATE
	:: DELAYED(COMPLETE); goto committing
#endif
	:: CRASH("worker: crash in the handler")
	fi;

committing: /* a result that is not answered yet: nothing but complete will do */
	if
	COMPLETE_ANSWERED
#ifdef LATE
	:: DELAYED(COMPLETE); goto committing
#endif
	:: CRASH("worker: crash after complete without a reply")
	fi;

releasing:
	if
	:: d_step { release(ME.step, ME.nonce); ack = DROP; answered(me) }; goto answer
	:: d_step { FAULT; EVENT("worker: reply of release lost"); release(ME.step, ME.nonce) }; goto releasing
	:: CRASH("worker: crash before release")
	fi;

#ifdef FAILING
failing:
	if
	:: d_step {
		fail(ME.step, ME.nonce);
		if
		:: r == AGAIN -> ack = LATER
		:: r == DEAD -> ack = ARCHIVE
		:: r == DONE -> ack = DROP
		fi;
		answered(me) }; goto answer
	:: d_step { FAULT; EVENT("worker: reply of fail lost"); fail(ME.step, ME.nonce); r = 0 }; goto failing
#ifdef LATE
	:: DELAYED(FAIL); goto failing
#endif
	:: CRASH("worker: crash before fail")
	fi;
#endif
}

/* The sweeper has nothing in mind. */
inline forget() {
	view.step = 0; view.epoch = 0; view.nonce = 0; seen_state = 0; t = 0
}

#define SEES(s) \
	:: d_step { st[s].send -> view.step = s; view.epoch = st[s].epoch }; goto sending \
	:: d_step { dead(s) && TAKES_OVER -> EVENT("sweeper: sees a dead claim"); \
		view.step = s; view.epoch = st[s].epoch; view.nonce = st[s].claim; seen_state = RUNNING }; goto reissuing \
	:: d_step { st[s].doubt -> view.step = s; view.epoch = st[s].epoch; seen_state = st[s].state }; goto asking

/* The sweeper of any process: agenda, claims, doubts. What it sees may have changed when it acts. */
proctype Sweeper() {
	byte t;

end_idle:
idle:
	if
	SEES(P)
	SEES(C)
	fi;

sending:
	if
	:: d_step { EVENT("sweeper: hands over"); enqueue(view.step, view.epoch) }
	:: d_step { FAULT; EVENT("sweeper: crash before enqueue"); forget() }; goto idle
	fi;
	if
	:: d_step { handed_over(view.step, view.epoch); forget() }
	:: d_step { FAULT; EVENT("sweeper: crash before handed_over"); forget() }
	fi;
	goto idle;

asking: /* asynq's Inspector, and the table StepRun × task */
	atomic {
		t = task[T(view.step, view.epoch)];
		if
		:: t == NONE -> EVENT("sweeper: task not found"); goto reissuing
		:: t == ZOMBIE -> EVENT("sweeper: task is a zombie"); goto reissuing
		:: t == ARCHIVED -> EVENT("sweeper: task archived with our verdict"); goto reissuing
		:: t == WAITING || t == ACTIVE -> forget(); goto idle
		:: t == ACTIVE && faults > 0 -> faults--; EVENT("sweeper: task active for too long"); goto reissuing
		fi
	}

reissuing:
	if
	:: d_step { reissue(view.step); forget() }
	:: d_step { FAULT; EVENT("sweeper: reply of reissue lost"); reissue(view.step) }; goto reissuing
	:: d_step { FAULT; EVENT("sweeper: crash before reissue"); forget() }
	fi;
	goto idle
}

/* asynq: a task that nobody holds any more is delivered again (its lease is over). As faults: one that somebody holds too, a task that is lost, and one
 * that comes back. */
#define EACH(i) \
	:: d_step { task[i] == ACTIVE && !held(i / EPOCHS, i % EPOCHS + 1) -> EVENT("asynq: task of a dead worker delivered again"); task[i] = WAITING } \
	:: d_step { task[i] == ACTIVE && held(i / EPOCHS, i % EPOCHS + 1) && faults > 0 && ROUGH -> faults--; EVENT("asynq: task delivered twice"); task[i] = WAITING } \
	:: d_step { (task[i] == WAITING || task[i] == ACTIVE) && faults > 0 && ROUGH -> faults--; EVENT("asynq: task lost"); task[i] = NONE } \
	:: d_step { (task[i] == WAITING || task[i] == ACTIVE) && faults > 0 && ROUGH -> faults--; EVENT("asynq: task becomes a zombie"); task[i] = ZOMBIE } \
	:: d_step { task[i] == NONE && i % EPOCHS < st[i / EPOCHS].epoch && faults > 0 && ROUGH -> faults--; EVENT("asynq: task comes back"); task[i] = WAITING }

proctype Asynq() {
end_idle:
	do
	EACH(0)
	EACH(1)
	EACH(2)
	EACH(3)
	EACH(4)
	EACH(5)
	EACH(6)
	EACH(7)
	EACH(8)
	EACH(9)
	od
}

/* The rest of the world: leases that run out while their holder lives, a Redis that forgets, calls that arrive late, an operator, and the
 * end of all faults. */
proctype World() {
#ifdef LATE
	byte r, n;
#endif
#ifdef FAILING
	bit operated;
#endif
end_idle:
	do
	:: d_step { st[P].state == RUNNING && !st[P].expired && !orphan(P) && faults > 0 && ROUGH -> faults--; EVENT("lease over while its holder lives"); st[P].expired = 1 }
	:: d_step { st[C].state == RUNNING && !st[C].expired && !orphan(C) && faults > 0 && ROUGH -> faults--; st[C].expired = 1 }
	:: d_step { ROLLBACK > 0 && armed == 0 -> copy(snap[P], st[P]); copy(snap[C], st[C]); snap_taken = taken; armed = 1 }
	:: d_step { armed == 1 && writes > 0 ->
		EVENT("Redis forgets its last changes");
		copy(st[P], snap[P]); copy(st[C], snap[C]); taken = snap_taken;
		forget_snapshot(); armed = 2 }
#ifdef LATE
	:: d_step { ghost_verb ->
		if
		:: ghost_verb == BEGIN -> EVENT("late begin arrives"); begin(ghost.step, ghost.epoch, ghost.nonce)
		:: ghost_verb == COMPLETE -> EVENT("late complete arrives"); complete(ghost.step, ghost.nonce)
#ifdef FAILING
		:: ghost_verb == FAIL -> EVENT("late fail arrives"); fail(ghost.step, ghost.nonce)
#endif
		fi;
		n = ghost.nonce;
		ghost.nonce = 0; ghost.step = 0; ghost.epoch = 0; ghost_verb = 0;
		put_away(n);
		r = 0; n = 0 }
#endif
#ifdef FAILING
	/*
	 * The archived task is deleted, best effort: not here.
	 * retry.lua> write_step(s, t, {failures = 0, crashes = 0, dead = '', error = '', done = '', finished_at = 0})
	 * retry.lua> queue(s, t, 0)
	 */
	:: d_step { !operated && st[P].state == FAILED -> EVENT("operator: retry"); operated = 1; st[P].failures = 0; st[P].done = 0; queue(P); wrote() }
	:: d_step { !operated && st[C].state == FAILED -> operated = 1; st[C].failures = 0; st[C].done = 0; queue(C); wrote() }
#endif
	:: d_step { faults > 0 || armed < 2 -> faults = 0; forget_snapshot(); armed = 2 }
#ifdef LIVE
	:: timeout /* nothing else moves: time goes by. Spin's weak fairness overlooks an end without it */
#else
	:: timeout -> assert(ended); break
#endif
	od
}

init {
	d_step { st[P].state = QUEUED; st[P].epoch = 1; st[P].send = 1 } /* as create_run leaves it; its caller has died, or hands over as the sweeper does */
	atomic { run Worker(0); run Worker(1); run Sweeper(); run Asynq(); run World() }
}

#ifdef LIVE
ltl ends { <>[] (ended) }
#endif
