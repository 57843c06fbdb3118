#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# plot.pl RESULTS.json OUT.svg TITLE: latency and throughput by message size, of the
# contests pingpong/N and oneway/N; by gnuplot. Nothing if there are none.

use strict;
use warnings;
use JSON::PP;

die "usage: plot.pl RESULTS.json OUT.svg TITLE\n" unless @ARGV == 3;
my ($json, $svg, $title) = @ARGV;

open(my $fh, '<', $json) or die "plot.pl: $json: $!\n";
my $results = decode_json(do { local $/; <$fh> });
close($fh);

# Ours stand out, floors are dashed, the others recede. In the order of the key.
my @styles = (
	['l3l2q', '#0b57d0', 3.5, 1, 7],
	['l3l2q in place', '#5b9df5', 3.5, 1, 7],
	['rte_ring', '#c2410c', 1.8, 1, 5],
	['naive', '#7c3aed', 1.8, 1, 9],
	['pipe', '#15803d', 1.3, 1, 2],
	['seqpacket', '#0f766e', 1.3, 1, 2],
	['posix mq', '#a16207', 1.3, 1, 2],
	['memcpy', '#444444', 1.5, 2, 0],
	['two lines', '#444444', 1.5, 3, 4],
	['one line', '#888888', 1.5, 3, 4],
);
my %rank = map { $styles[$_][0] => $_ } 0 .. $#styles;

# A message without a body has a place left of the smallest, for the axis is logarithmic.
my $none = 16;

# points GROUP VALUE: [size, value] for each contestant
sub points {
	my ($group, $value) = @_;
	my %of;

	for my $contest (@{ $results->{contests} }) {
		my ($size) = $contest->{name} =~ m{^$group/(\d+)$} or next;

		for my $c (@{ $contest->{contestants} }) {
			my $y = $value->($size, $c->{best_ns});

			push @{ $of{ $c->{name} } }, [$size || $none, $y] if defined $y;
		}
	}
	@$_ = sort { $a->[0] <=> $b->[0] } @$_ for values %of;
	return \%of;
}

sub size_name {
	my ($size) = @_;

	return $size >= 1 << 20 ? ($size >> 20) . ' MiB' : $size >= 1 << 10 ? ($size >> 10) . ' KiB' : "$size B";
}

sub quoted {
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# panel PLOT HEADING UNIT POINTS: the left one, which has everybody, also has the key
sub panel {
	my ($plot, $heading, $unit, $of) = @_;
	my (%sizes, @lines);
	my @names = sort { ($rank{$a} // 99) <=> ($rank{$b} // 99) || $a cmp $b } keys %$of;

	for my $i (0 .. $#names) {
		my $style = defined $rank{ $names[$i] } ? $styles[$rank{ $names[$i] }]
			: [$names[$i], '#9a9a9a', 1.2, 1, 1];

		print $plot "\$data$i << END\n";
		print $plot "$_->[0] $_->[1]\n" for @{ $of->{ $names[$i] } };
		print $plot "END\n";
		$sizes{ $_->[0] } = 1 for @{ $of->{ $names[$i] } };
		push @lines, sprintf('$data%d using 1:2 with %s lc rgb "%s" lw %s dt %d%s title %s', $i,
			$style->[4] ? 'linespoints' : 'lines', @$style[1 .. 3],
			$style->[4] ? " pt $style->[4] ps 0.6" : '', quoted($names[$i]));
	}
	my @ticks = sort { $a <=> $b } keys %sizes;
	my @tics = map { quoted($_ == $none ? '0 B' : size_name($_)) . " $_" } @ticks;
	print $plot "set title ", quoted($heading), "\n";
	print $plot "set format y ", quoted("%.0s %c$unit"), "\n";
	print $plot "set xrange [", $ticks[0] / 1.6, ':', $ticks[-1] * 1.6, "]\n";
	print $plot "set xtics (", join(', ', @tics), ")\n";
	# once more, on top of the others
	push @lines, map { s/ title '.*'$/ notitle/r } grep { / title 'l3l2q/ } @lines;
	print $plot "plot ", join(", \\\n\t", @lines), "\n";
}

my $latency = points('pingpong', sub { $_[1] / 1e9 });
my $throughput = points('oneway', sub { $_[0] ? $_[0] * 1e9 / $_[1] : undef });
exit 0 unless %$latency && %$throughput;

open(my $plot, '|-', 'gnuplot') or die "plot.pl: gnuplot: $!\n";
print $plot <<"END";
set terminal svg noenhanced size 1000,480 dynamic background rgb '#ffffff' font 'Helvetica,13'
set output @{[quoted($svg)]}
set multiplot layout 1,2 margins 0.07,0.985,0.30,0.85 spacing 0.085,0 title @{[quoted($title)]} font ',14'
set logscale xy
set border 3 lc rgb '#555555'
set tics nomirror textcolor rgb '#333333'
set grid ytics lc rgb '#dddddd' lw 0.6
set key at screen 0.5,0.02 center bottom Left reverse maxrows 3 samplen 2.5 width 2 textcolor rgb '#333333'
set xlabel 'size of a message'
END
panel($plot, 'There and back', 's', $latency);
print $plot "unset key\n";
panel($plot, 'One way', 'B/s', $throughput);
print $plot "unset multiplot\n";
close($plot) or die "plot.pl: gnuplot ended with status $?\n";

# gnuplot has no way to say it
local ($^I, @ARGV) = ('', $svg);
while (<>) {
	print;
	print "<!-- SPDX-License-Identifier: MIT -->\n" if $. == 1;
}
