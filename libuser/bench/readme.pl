#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# readme.pl README.md DIR RESULTS: between their markers, README.md gets what native and vm
# in DIR (.json, .txt) have measured, with the plot of RESULTS, and what python has. Parts
# that DIR has nothing of stay as they are.

use strict;
use warnings;
use JSON::PP;

die "usage: readme.pl README.md DIR RESULTS\n" unless @ARGV == 3;
my ($readme, $dir, $results) = @ARGV;

sub slurp {
	my ($path) = @_;

	open(my $fh, '<', $path) or die "readme.pl: $path: $!\n";
	local $/;
	return <$fh>;
}

sub is_there {
	return !grep { !-e "$dir/$_.json" } @_;
}

# A target and what was measured, as the columns of a table.
sub target_text {
	my ($t) = @_;

	return (exists $t->{at_least} ? sprintf('at least %g', $t->{at_least}) :
		sprintf('at most %g', $t->{at_most})) . $t->{unit};
}

sub measured_text {
	my ($t) = @_;
	my $text = sprintf("%.2f$t->{unit}", $t->{measured});

	$text .= sprintf(" (%.2f$t->{unit})", $t->{best}) if $t->{unit};
	return $text . ($t->{met} ? ', met' : ', **missed**');
}

my %machine;

# A table of runs, given as pairs of name and heading.
sub table {
	my (@order, %row, @runs, @headings);

	while (my ($run, $heading) = splice(@_, 0, 2)) {
		($machine{$run}) = slurp("$dir/$run.txt") =~ /^(\S.*)$/m
			or die "readme.pl: $dir/$run.txt does not say which machine\n";
		my $json = decode_json(slurp("$dir/$run.json"));

		$machine{$run} .= sprintf('; %d rounds of %g ms', $json->{rounds}, $json->{round_ns} / 1e6);
		push @runs, $run;
		push @headings, $heading;
		for my $t (@{ $json->{targets} }) {
			push @order, $t->{what} unless $row{ $t->{what} };
			$row{ $t->{what} }{target} = target_text($t);
			$row{ $t->{what} }{$run} = measured_text($t) if defined $t->{measured};
		}
	}

	my $text = join(' | ', '|', 'target', @headings) . " |\n|" . ' --- |' x (2 + @runs) . "\n";
	for my $what (@order) {
		next unless grep { $row{$what}{$_} } @runs;
		$text .= join(' | ', "| $what", $row{$what}{target}, map { $_ // '' } @{ $row{$what} }{@runs});
		$text .= " |\n";
	}
	return "$text\n";
}

my $page = slurp($readme);

sub put {
	my ($begin, $text) = @_;
	my $end = '<!-- until here -->';

	$page =~ s/\Q$begin\E\n.*?\Q$end\E\n/$begin\n\n$text\n$end\n/s
		or die "readme.pl: $readme has no place for it\n";
}

if (is_there('native', 'vm')) {
	my $text = table(native => 'here, over memfd', vm => 'in a guest, over the driver');

	$text .= "![latency and throughput by message size]($results/native.svg)\n\n";
	$text .= "Here: $machine{native}. In a guest: $machine{vm}.\n";
	$text .= 'All of it: ' . join(', ', map { "[`$_`]($results/$_)" } qw(native.txt vm.txt vm.svg)) . ".\n";
	put('<!-- what follows is of make bench-readme -->', $text);
}
if (is_there('python')) {
	my $text = table(python => 'here, over memfd');

	$text .= "Here: $machine{python}. All of it: [`python.txt`]($results/python.txt).\n";
	put('<!-- what follows is of make bench-readme, from Python -->', $text);
}

open(my $fh, '>', $readme) or die "readme.pl: $readme: $!\n";
print $fh $page;
close($fh) or die "readme.pl: $readme: $!\n";
