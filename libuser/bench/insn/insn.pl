#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# insn.pl [--update] [--functions] TABLE COMPILER DIR
#
# Runs DIR/library and DIR/core (insn.c) under callgrind and compares what they took
# with TABLE. Counted is what the program and the library execute; not libc, whose
# memcpy depends on the processor. With another compiler than TABLE's nothing fails.
# Exit status: 0; 1 a row takes more than 2 % longer than in TABLE, or has no
# line there; 2 it did not work.

use strict;
use warnings;

my $tolerance = 1.02;
my ($update, $functions);

while (@ARGV && $ARGV[0] =~ /^--/) {
	my $option = shift;

	if ($option eq '--update') {
		$update = 1;
	} elsif ($option eq '--functions') {
		$functions = 1;
	} else {
		die_with("unknown option $option");
	}
}
die_with('wrong use') unless @ARGV == 3;
my ($table, $cc, $dir) = @ARGV;
my @columns = qw(library core);

sub die_with {
	print STDERR "insn.pl: $_[0]\n";
	exit 2;
}

# Without the distribution's revision, which changes more often than code does.
sub compiler_name {
	my $name = (split(/\n/, `$cc --version`))[0] // '';
	my $machine = `$cc -dumpmachine`;

	die_with("$cc does not run") unless $name && $machine;
	chomp($machine);
	$name =~ s/^\S+ \(([A-Za-z]+)[^)]*\) (\S+).*/gcc $2 of $1/;
	return "$name, $machine";
}

# Self costs of one dump by function, for the objects that are ours; its name.
sub read_dump {
	my ($file) = @_;
	my ($ours, $function, $name, $is_call, %cost) = (0, '', '');

	open(my $fh, '<', $file) or die_with("$file: $!");
	while (<$fh>) {
		if (/^desc: Trigger: Client Request: (.*)/) {
			$name = $1;
		} elsif (/^ob=(.*)/) {
			$ours = $1 =~ m{/(?:core|library|libl3l2q\.so\.\d+)$};
		} elsif (/^fn=(.*)/) {
			$function = $1;
		} elsif (/^calls=/) {
			$is_call = 1;
		} elsif (/^[+\-*\d]\S* (\d+)$/) {
			$cost{$function} += $1 if $ours && !$is_call;
			$is_call = 0;
		}
	}
	return ($name, \%cost);
}

# Rows in their order, and for each what an operation takes, by function.
sub count {
	my ($program) = @_;
	my (@names, %n, %cost);

	unlink glob("$dir/$program.callgrind*");
	open(my $run, '-|', 'valgrind', '--tool=callgrind', '-q', '--collect-atstart=no',
	     '--compress-strings=no', '--compress-pos=no',
	     "--callgrind-out-file=$dir/$program.callgrind", "$dir/$program")
		or die_with("valgrind: $!");
	while (<$run>) {
		my ($n, $name) = /^(\d+)\t(.*)$/ or next;
		push @names, $name;
		$n{$name} = $n;
	}
	close($run) or die_with("$program under valgrind ended with status $?");
	for my $file (glob("$dir/$program.callgrind.*")) {
		my ($name, $by) = read_dump($file);
		next unless $n{$name};
		$cost{$name}{$_} = $by->{$_} / $n{$name} for keys %$by;
	}
	return (\@names, \%cost);
}

sub sum {
	my $sum = 0;

	$sum += $_ for @_;
	return $sum;
}

my $compiler = compiler_name();
my (@rows, %counted, %by);
for my $column (@columns) {
	my ($names, $cost) = count($column);

	@rows = @$names;
	for my $row (@rows) {
		$by{$row}{$column} = $cost->{$row} or die_with("$column: nothing counted for $row");
		$counted{$row}{$column} = sprintf('%.1f', sum(values %{ $cost->{$row} }));
	}
}

my (%known, $known_compiler);
if (open(my $fh, '<', $table)) {
	while (<$fh>) {
		if (/^# compiler: (.*)/) {
			$known_compiler = $1;
		} elsif (/^([^#|][^|]*?) *\| *([\d.]+) *\| *([\d.]+)$/) {
			@{ $known{$1} }{@columns} = ($2, $3);
		}
	}
	close($fh);
}
$known_compiler //= 'none';

if ($update) {
	open(my $fh, '>', $table) or die_with("$table: $!");
	print $fh "# SPDX-License-Identifier: MIT\n";
	print $fh "# Instructions for each operation, without libc's: make bench-insn UPDATE=1\n";
	print $fh "# compiler: $compiler\n";
	printf $fh "%-34s | %8s | %8s\n", '# row', @columns;
	printf $fh "%-34s | %8s | %8s\n", $_, @{ $counted{$_} }{@columns} for @rows;
	close($fh) or die_with("$table: $!");
}

my $worse = 0;
printf "%-34s", 'instructions for each operation';
printf " | %8s %8s %8s", $_, 'table', '' for @columns;
print "\n";
for my $row (@rows) {
	printf '%-34s', $row;
	for my $column (@columns) {
		my ($is, $was) = ($counted{$row}{$column}, $known{$row}{$column});

		if (defined $was) {
			printf ' | %8.1f %8.1f %+7.1f%%', $is, $was, $was > 0 ? ($is / $was - 1) * 100 : 0;
		} else {
			printf ' | %8.1f %8s %8s', $is, '-', '';
		}
		$worse++ if !defined $was || $is > $was * $tolerance;
	}
	print "\n";
	next unless $functions;
	for my $column (@columns) {
		my $cost = $by{$row}{$column};

		printf "    %-8s %8.1f  %s\n", $column, $cost->{$_}, $_
			for sort { $cost->{$b} <=> $cost->{$a} || $a cmp $b } keys %$cost;
	}
}
print "line by line: callgrind_annotate --auto=yes $dir/library.callgrind.N, N the row\n"
	if $functions;

if ($update) {
	print "$table is up to date\n";
} elsif ($compiler ne $known_compiler) {
	print "The table is of $known_compiler, this is $compiler: not compared.\n";
} elsif ($worse) {
	print "$worse above the table\n";
	exit 1;
}
exit 0;
