#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# readme.pl README.md DIR RESULTS: between its two markers, README.md gets what native
# and vm in DIR (.json, .txt) have measured, and the plot of RESULTS.

use strict;
use warnings;
use JSON::PP;

die "usage: readme.pl README.md DIR RESULTS\n" unless @ARGV == 3;
my ($readme, $dir, $results) = @ARGV;
my ($begin, $end) = ('<!-- what follows is of make bench-readme -->', '<!-- until here -->');

sub slurp {
	my ($path) = @_;

	open(my $fh, '<', $path) or die "readme.pl: $path: $!\n";
	local $/;
	return <$fh>;
}

my (@order, %row, %machine);
for my $run (qw(native vm)) {
	($machine{$run}) = slurp("$dir/$run.txt") =~ /^(\S.*)$/m
		or die "readme.pl: $dir/$run.txt does not say which machine\n";
	my $json = decode_json(slurp("$dir/$run.json"));

	$machine{$run} .= sprintf('; %d rounds of %g ms', $json->{rounds}, $json->{round_ns} / 1e6);
	for my $t (@{ $json->{targets} }) {
		my $what = $t->{what};
		my $unit = $t->{unit};

		push @order, $what unless $row{$what};
		$row{$what}{target} = exists $t->{at_least} ? sprintf('at least %g', $t->{at_least})
			: sprintf('at most %g', $t->{at_most});
		$row{$what}{target} .= $unit;
		next unless defined $t->{measured};
		$row{$what}{$run} = sprintf("%.2f$unit", $t->{measured});
		$row{$what}{$run} .= sprintf(" (%.2f$unit)", $t->{best}) if $unit;
		$row{$what}{$run} .= $t->{met} ? ', met' : ', **missed**';
	}
}

my $text = "| | target | here, over memfd | in a guest, over the driver |\n| --- | --- | --- | --- |\n";
for my $what (grep { $row{$_}{native} || $row{$_}{vm} } @order) {
	$text .= join(' | ', "| $what", $row{$what}{target}, $row{$what}{native} // '', $row{$what}{vm} // '') . " |\n";
}
$text .= "\n![latency and throughput by message size]($results/native.svg)\n\n";
$text .= "Here: $machine{native}. In a guest: $machine{vm}.\n";
$text .= 'All of it: ' . join(', ', map { "[`$_`]($results/$_)" } qw(native.txt vm.txt vm.svg)) . ".\n";

my $page = slurp($readme);
$page =~ s/\Q$begin\E\n.*?\Q$end\E\n/$begin\n\n$text\n$end\n/s
	or die "readme.pl: $readme has no place for it\n";
open(my $fh, '>', $readme) or die "readme.pl: $readme: $!\n";
print $fh $page;
close($fh) or die "readme.pl: $readme: $!\n";
