#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only
#
# tapsum.pl [--suite NAME] [--results FILE] [--allow FILE] < stream
#
# Reads what a runner (vm/init in the guest, checks/run.sh here) writes: the
# TAP of test programs between markers
#
#	@@ begin NAME
#	@@ end NAME STATUS SECONDS LIMIT
#	@@ klog ... @@ endklog		raw kernel log since the last one
#	@@ done
#
# Prints a line for each program and what failed in it, then the sum; appends
# "NAME passed failed skipped" to FILE. Counted as a failure as well: a program
# that crashes, times out, has no plan or keeps less than it planned; a report
# of a sanitizer; a kernel message of level warning or above, or one that names
# a bug at any level, unless a pattern of --allow matches; a stream without end.

use strict;
use warnings;

my ($suite, $results) = ('tests', '');
my @allow;

while (@ARGV) {
	my $opt = shift;

	if ($opt eq '--suite') {
		$suite = shift;
	} elsif ($opt eq '--results') {
		$results = shift;
	} elsif ($opt eq '--allow') {
		open(my $fh, '<', shift) or die "tapsum: allow list: $!\n";
		while (<$fh>) {
			chomp;
			next if /^\s*(#|$)/;
			push @allow, qr/$_/;
		}
		close $fh;
	} else {
		die "tapsum: unknown option $opt\n";
	}
}
$| = 1;

my $sanitizer = qr/ERROR: (?:Address|Leak)Sanitizer|WARNING: ThreadSanitizer|FATAL: ThreadSanitizer|runtime error: /;
my $kbug = qr/\b(?:BUG|WARNING|KASAN|KCSAN|UBSAN|ODEBUG|kmemleak: \d+ new|Oops|suspicious RCU|INFO: task .* blocked|possible (?:circular|recursive) locking|inconsistent lock state|Kernel panic)\b/;

my ($passed, $failed, $skipped) = (0, 0, 0);
my ($name, $p, $f, $s, $plan, $seen, $whole_skip, $cur, @why);
my ($done, $in_klog, %klog_seen, @recent) = (0, 0);

sub begin {
	($name, $p, $f, $s, $plan, $seen, $whole_skip, $cur) = ($_[0], 0, 0, 0, -1, 0, 0, '');
	@why = ();
	@recent = ();
}

sub fail {
	$f++;
	push @why, @_;
}

sub finish {
	my ($status, $secs, $limit) = @_;

	if (defined $status) {
		if ($secs >= $limit) {
			fail("timed out after $limit s", map { "  $_" } @recent);
		} elsif ($status > 128) {
			fail('killed by signal ' . ($status - 128), last_lines());
		} elsif ($whole_skip) {
			$s++;
		} elsif ($plan < 0) {
			fail("no plan, exit status $status", last_lines());
		} elsif ($seen < $plan) {
			fail("only $seen of $plan results, exit status $status", last_lines());
		} elsif ($seen > $plan) {
			fail("$seen results, but $plan were planned");
		} elsif ($status != 0 && !$f) {
			fail("exit status $status without a failed test", last_lines());
		}
	} else {
		fail('did not end', last_lines());
	}
	report(defined $secs ? $secs : '');
}

sub last_lines {
	my @l = @recent;

	@l = @l[-20 .. -1] if @l > 20;
	return map { "  $_" } @l;
}

sub report {
	my $secs = shift;

	printf "  %-4s %-44s %d passed, %d failed, %d skipped%s\n",
		$f ? 'FAIL' : 'ok', "$suite: $name", $p, $f, $s, $secs ne '' ? " ($secs s)" : '';
	print "       | $_\n" for @why;
	$passed += $p;
	$failed += $f;
	$skipped += $s;
	$name = undef;
}

sub klog_line {
	my $line = shift;
	my ($pri, $text) = $line =~ /^<(\d+)>(.*)$/ ? ($1, $2) : (6, $line);
	my $bad = ($pri < 8 && $pri <= 4) || $text =~ $kbug;

	return if !$bad;
	for my $re (@allow) {
		return if $text =~ $re;
	}
	push @{$klog_seen{lines}}, $text;
}

# Kernel messages belong to the program that just ended.
sub klog_end {
	my $lines = delete $klog_seen{lines} or return;
	my $n = @$lines;

	@$lines = (@$lines[0 .. 39], '...') if $n > 40;
	print "  FAIL $suite: kernel log after ", ($klog_seen{name} // 'boot'), ": $n lines\n";
	print "       | $_\n" for @$lines;
	$failed++;
}

while (my $line = <STDIN>) {
	$line =~ s/[\r\n]+$//;
	if ($line =~ /^@@ (\w+)\s*(.*)$/) {
		my ($what, $rest) = ($1, $2);

		if ($what eq 'begin') {
			finish() if defined $name;
			begin($rest);
		} elsif ($what eq 'end' && defined $name) {
			my ($status, $secs, $limit) = $rest =~ /(\d+) ([\d.]+) (\d+)$/;

			$klog_seen{name} = $name;
			finish($status, $secs, $limit);
		} elsif ($what eq 'klog') {
			$in_klog = 1;
		} elsif ($what eq 'endklog') {
			$in_klog = 0;
			klog_end();
		} elsif ($what eq 'done') {
			$done = 1;
		}
		next;
	}
	if ($in_klog) {
		klog_line($line);
		next;
	}
	next if !defined $name;
	next if $line eq '';
	push @recent, $line;
	shift @recent if @recent > 200;

	if ($line =~ $sanitizer) {
		fail("sanitizer report: $line");
	} elsif ($line =~ /^1\.\.(\d+)(.*)$/) {
		$plan = $1;
		$whole_skip = 1 if $plan == 0 && $2 =~ /#\s*skip/i;
	} elsif ($line =~ /^(not )?ok\b(.*)$/) {
		my ($not, $rest) = ($1, $2);

		$seen++;
		if ($rest =~ /#\s*skip/i) {
			$s++;
		} elsif ($not && $rest !~ /#\s*(?:todo|xfail)/i) {
			fail($line, map { "  $_" } grep { $_ ne $line && !/^#  (?:RUN| +OK)/ } @recent);
		} else {
			$p++;
		}
		@recent = ();
	} elsif ($line =~ /^Bail out!/) {
		fail($line);
	}
}

finish() if defined $name;
if (!$done) {
	print "  FAIL $suite: the run broke off\n";
	$failed++;
}
print "$suite: $passed passed, $failed failed, $skipped skipped\n";
if ($results ne '') {
	open(my $fh, '>>', $results) or die "tapsum: $results: $!\n";
	print $fh "$suite $passed $failed $skipped\n";
	close $fh;
}
exit($failed ? 1 : 0);
