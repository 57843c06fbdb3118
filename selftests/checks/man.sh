#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The manual pages agree with the headers, their examples compile and run, README.md
# quotes the example program, and the papers name what there is. TAP. Pages are rendered by groff (package
# groff-base).

set -u

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1

n=0 failed=0

# tap NAME PROBLEMS: a test, passed if there are none
tap() {
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		failed=$((failed + 1))
		echo "not ok $n - $1"
		sed 's/^/# /' <<<"$2"
	fi
}

skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }

# compare WHAT: reads header, pages, map and uapi; prints what does not agree
compare() {
	perl - "$1" <<'EOF'
use strict;
use warnings;

my $what = shift;
my $man = 'libuser/man';

sub slurp {
	my ($path) = @_;

	open(my $fh, '<', $path) or do { print "$path: $!\n"; exit 0 };
	local $/;
	return <$fh>;
}

sub squeeze {
	my ($text) = @_;

	$text =~ s/\s+/ /g;
	$text =~ s/^ | $//g;
	return $text;
}

# Functions of the header: prototype, and the comment of its group.
my (%proto, %comment, %inline, %sized);
my $header = slurp('libuser/include/l3l2q.h');
my ($general) = $header =~ m{^.*?\*/\s*(/\*.*?\*/)|(/\*.*?\*/)}s;
for my $c ($header =~ m{/\*.*?\*/}sg) {
	$general = $c if $c =~ /Return values:/;
}
my $group = '';
my $text = $header;
while ($text =~ m{\G(?:
	(?<blank>\n[ \t]*\n) |
	(?<comment>/\*.*?\*/) |
	(?<proto>^(?:(?:static[ ]inline|L3L2Q_INLINE)[ ])?(?<type>(?:const[ ])?
		(?:struct[ ]\w+|char|u?int(?:\d+_t)?|size_t|void)[ ]\**)
		(?<name>l3l2q_\w+)(?<arguments>\([^;\{]*\))(?<end>;|\s*\{)) |
	.)}sxmg) {
	if (defined $+{blank}) {
		$group = '';
	} elsif (defined $+{comment}) {
		$group .= $+{comment};
	} elsif (defined $+{proto}) {
		my ($name, $body) = ($+{name}, $+{end} ne ';');
		my $declared = squeeze("$+{type}$name$+{arguments};");

		# calls that carry the sizes of structures stand behind inline ones
		$inline{$name} = 1 if $body;
		if ($name =~ /_sized$/) {
			$sized{$name} = 1;
			next;
		}
		$proto{$name} = $declared;
		$comment{$name} = $group;
	}
}

# Pages: which functions, which prototypes, which errors.
my (%page, %shown, %errors, %mentioned);
for my $file (sort glob("$man/*.3")) {
	my ($name) = $file =~ m{([^/]+)\.3$};
	my $roff = slurp($file);

	if ($roff =~ m{^\.so man3/(\w+)\.3$}m) {
		$page{$name} = $1;
		next;
	}
	$page{$name} = $name;
	my ($synopsis) = $roff =~ /^\.SH SYNOPSIS\n(.*?)^\.SH /sm;
	$synopsis =~ s/\\-/-/g;
	$synopsis =~ s/\\e/\\/g;
	while ($synopsis =~ /^((?:const )?[a-z][\w ]*?[ *]+(l3l2q_\w+)\([^;]*\);)/mg) {
		$shown{$name}{$2} = squeeze($1);
	}
	$mentioned{$name}{$_} = 1 for $roff =~ /\\-(E[A-Z0-9]{2,})\b/g;
	my ($table) = $roff =~ /^\.SH ERRORS\n(.*?)^\.SH /sm;
	$errors{$name}{$_} = 1 for ($table // '') =~ /^\.B \\-(E[A-Z0-9]{2,})$/mg;
	my ($names) = $roff =~ /^\.SH NAME\n(.*?) \\- /m;
	my $listed = join(' ', sort split(/, */, $names));
	my $declared = join(' ', sort keys %{ $shown{$name} });
	print "$name(3): NAME has $listed, SYNOPSIS $declared\n"
		if $what eq 'prototypes' && $listed ne $declared;
}

if ($what eq 'prototypes') {
	print "no function found in the header\n" unless %proto;
	for my $f (sort keys %proto) {
		my $p = $page{$f};

		if (!defined $p) {
			print "$f(): no page\n";
		} elsif (!defined $shown{$p}{$f}) {
			print "$f(): not in the synopsis of $p(3)\n";
		} elsif ($shown{$p}{$f} ne $proto{$f}) {
			print "$f(): header: $proto{$f}\n$f(): $p(3): $shown{$p}{$f}\n";
		}
	}
	for my $p (sort keys %page) {
		print "$p(3): no such function\n" unless $proto{$p};
		for my $f (sort keys %{ $shown{$p} // {} }) {
			print "$p(3): $f() is not declared\n" unless $proto{$f};
		}
	}
} elsif ($what eq 'errors') {
	my %general = map { $_ => 1 } $general =~ /-(E[A-Z0-9]{2,})\b/g;

	for my $p (sort keys %shown) {
		my %said;

		for my $f (sort keys %{ $shown{$p} }) {
			for my $e (($comment{$f} // '') =~ /-(E[A-Z0-9]{2,})\b/g) {
				$said{$e} = 1;
				print "$p(3): $f() can be -$e\n" unless $mentioned{$p}{$e};
			}
		}
		for my $e (sort keys %{ $errors{$p} // {} }) {
			print "$p(3): the header knows nothing of -$e there\n"
				unless $said{$e} || $general{$e};
		}
	}
	# the overview has each errno of any page, and no other
	my ($overview) = slurp("$man/l3l2q.7") =~ /^\.SS Errors\n(.*?)^\.S[HS] /sm;
	my %overview = map { $_ => 1 } map { /\\-(E[A-Z0-9]{2,})\b/g }
		$overview =~ /^\.B (.*)$/mg;
	my %paged = map { $_ => 1 } map { keys %{ $errors{$_} // {} } } keys %shown;
	for my $e (sort keys %{ { %general, %paged } }) {
		print "l3l2q(7): -$e is missing\n" unless $overview{$e};
	}
	for my $e (sort keys %overview) {
		print "l3l2q(7): -$e is in no page of section 3\n" unless $paged{$e};
	}
} elsif ($what eq 'exports') {
	my $map = slurp('libuser/src/libl3l2q.map');
	my %exported = map { $_ => 1 } $map =~ /^\s*(l3l2q_\w+);/mg;

	# what inline.h alone calls is nobody else's
	my $inline = slurp('libuser/include/l3l2q/inline.h');
	my %called = map { $_ => 1 } $inline =~ /^int (l3l2q_\w+)\(/mg,
		$inline =~ /^extern const unsigned char (l3l2q_layout_\d+);/mg;

	for my $f (sort keys %exported) {
		print "$f: exported, not declared\n"
			unless $proto{$f} || $sized{$f} || $called{$f};
	}
	for my $f (sort keys %proto, keys %sized) {
		print "$f(): declared, not exported\n" unless $exported{$f} || $inline{$f};
	}
} elsif ($what eq 'ioctls') {
	my $uapi = slurp('uapi/linux/l3l2q.h');
	my $page = slurp("$man/l3l2q-driver.4");
	my %known = map { $_ => 1 } grep { $_ ne 'L3L2Q_IOC_TYPE' }
		$uapi =~ /^#define\s+(L3L2Q_IOC_\w+)\s+_IO/mg;
	my %told = map { $_ => 1 } $page =~ /^\.BR? (L3L2Q_IOC_\w+)(?: " \S+")?$/mg;

	print "no ioctl found\n" unless %known;
	for my $i (sort keys %known) {
		print "$i: not in l3l2q-driver(4)\n" unless $told{$i};
	}
	for my $i (sort keys %told) {
		print "l3l2q-driver(4): $i does not exist\n" unless $known{$i};
	}
} elsif ($what eq 'parameters') {
	my $page = slurp("$man/l3l2q-driver.4");
	my ($section) = $page =~ /^\.SH MODULE PARAMETERS\n(.*?)^\.SH /sm;
	my %told = map { $_ => 1 } $section =~ /^\.TP\n\.I (\w+)$/mg;
	my %known;

	for my $file (glob('driver/*.c')) {
		$known{$_} = 1 for slurp($file) =~ /^module_param(?:_named)?\((\w+)/mg;
	}
	for my $i (sort keys %known) {
		print "$i: not in l3l2q-driver(4)\n" unless $told{$i};
	}
	for my $i (sort keys %told) {
		print "l3l2q-driver(4): $i does not exist\n" unless $known{$i};
	}
} elsif ($what eq 'tracepoints') {
	my ($section) = slurp("$man/l3l2q-driver.4") =~ /^\.SH TRACEPOINTS\n(.*?)^\.SH /sm;
	my $header = slurp('driver/trace.h');
	my (%known, %told, %class);

	# events by class, and each with its fields but for those that all have
	while ($header =~ /^(TRACE_EVENT\w*|DECLARE_EVENT_CLASS)\((\w+),(.*?)^\s+TP_fast/smg) {
		my ($kind, $name) = ($1, $2);
		my $fields = join(' ', sort grep { !/^(region|role)$/ } $3 =~ /__field\(\w+, (\w+)\)/g);

		($kind eq 'DECLARE_EVENT_CLASS' ? \%class : \%known)->{$name} = $fields;
	}
	$known{$2} = $class{$1} while $header =~ /^DEFINE_EVENT\((\w+), (\w+),/mg;
	while ($section =~ /^\.TP\n\.B (l3l2q_\w+)\n(?:\.RI? \( (.*?) ?\)\n)?/mg) {
		my ($name, $fields) = ($1, $2 // '');

		$told{$name} = join(' ', sort $fields =~ /(\w+)/g);
	}
	print "no tracepoint found\n" unless %known;
	for my $i (sort keys %known) {
		print "$i: not in l3l2q-driver(4) with the fields $known{$i}\n"
			unless defined $told{$i} && $told{$i} eq $known{$i};
	}
	for my $i (sort keys %told) {
		print "l3l2q-driver(4): $i does not exist\n" unless defined $known{$i};
	}
} elsif ($what eq 'options') {
	my $source = slurp('libuser/tools/l3l2q-stream/main.c');
	my ($help) = $source =~ /help_text\[\] =\n(.*?);\n\n/s;
	my $page = slurp("$man/l3l2q-stream.1");
	my ($section) = $page =~ /^\.SH OPTIONS\n(.*?)^\.SH /sm;
	my %known = map { $_ => 1 } $help =~ /^"\s+(?:-\w, )?(--[a-z-]+)/mg;
	my %told;

	$known{$_} = 1 for qw(--help --version);
	$section =~ s/\\-/-/g;
	$told{$_} = 1 for map { /(--[a-z][a-z-]*)/g } $section =~ /^\.TP\n(.*)$/mg;
	for my $i (sort keys %known) {
		print "$i: not in l3l2q-stream(1)\n" unless $told{$i};
	}
	for my $i (sort keys %told) {
		print "l3l2q-stream(1): $i does not exist\n" unless $known{$i};
	}
} elsif ($what eq 'examples') {
	# a complete program each, to be found in the directory for programs
	my $dir = $ENV{EXAMPLES};

	for my $p (sort keys %shown) {
		my ($section) = slurp("$man/$p.3") =~ /^\.SH EXAMPLES\n(.*?)^\.SH /sm;
		my ($code) = ($section // '') =~ /^\.EX\n(.*?)^\.EE$/sm;

		if (!defined $code) {
			print "$p(3): no example\n";
			next;
		}
		print "$p(3): its example calls none of its functions\n"
			unless grep { $code =~ /\b$_\(/ } keys %{ $shown{$p} };
		$code =~ s/^\\&//mg;
		$code =~ s/\\-/-/g;
		$code =~ s/\\\(aq/'/g;
		$code =~ s/\\e/\\/g;
		open(my $fh, '>', "$dir/$p.c") or do { print "$p.c: $!\n"; next };
		print $fh $code;
		close($fh);
	}
} elsif ($what eq 'core') {
	# the first comment of core.h names its interface; l3l2q_core(7) has that, and no other
	my $core = slurp('libuser/include/l3l2q/core.h');
	my $page = slurp("$man/l3l2q_core.7");
	my ($first) = $core =~ m{\A/\*.*?\*/\s*(/\*.*?\*/)}s;
	my ($interface, $table) = $first =~ /(\* Interface.*?)(\* Functions return.*)/s;
	my ($synopsis) = $page =~ /^\.SH SYNOPSIS\n(.*?)^\.SH /sm;
	my ($section) = $page =~ /^\.SH ERRORS\n(.*?)^\.SH /sm;
	my ($text) = $page =~ /^\.SH DESCRIPTION\n(.*?)^\.SH /sm;
	my %public = map { $_ => 1 } $interface =~ /\b(l3l2q_\w+)\(\)/g;
	my (%declared, %told);

	$declared{$2} = squeeze("$1$2$3;") while $core =~
		/^(?:static inline|L3L2Q_FAST) ((?:const )?(?:struct \w+|\w+) \**)(l3l2q_\w+)(\([^;\{]*\))\s*\{/mg;
	$declared{$1} = squeeze($&) while $core =~ /^typedef [^;]*\(\*(l3l2q_\w+_fn)\)\([^;]*\);/mg;
	$told{$2} = squeeze($1) while $synopsis =~ /^(\w[\w ]* \**(l3l2q_\w+)\([^;]*\);)/mg;
	$told{$1} = squeeze($&) while $synopsis =~ /^typedef [^;]*\(\*(l3l2q_\w+_fn)\)\([^;]*\);/mg;
	$public{$_} = 1 for grep { /_fn$/ } keys %declared;
	print "core.h names no function\n" unless keys %public > 3;
	for my $f (sort keys %public) {
		if (!defined $declared{$f}) {
			print "core.h: there is no $f()\n";
		} elsif (!defined $told{$f}) {
			print "l3l2q_core(7): $f is missing\n";
		} elsif ($told{$f} ne $declared{$f}) {
			print "$f: header: $declared{$f}\n$f: page: $told{$f}\n";
		}
		print "l3l2q_core(7): nothing is said of $f()\n" unless $f =~ /_fn$/ || $text =~ /B ?$f(?:\\fP)?\(/;
	}
	for my $f (sort keys %told) {
		print "l3l2q_core(7): core.h does not name $f\n" unless $public{$f};
	}
	my %errors = map { $_ => 1 } $table =~ /-(E[A-Z0-9]{2,})\b/g;
	my %paged = map { $_ => 1 } $section =~ /^\.B \\-(E[A-Z0-9]{2,})$/mg;
	for my $e (sort keys %errors, keys %paged) {
		print "-$e: in core.h or in l3l2q_core(7) only\n" unless $errors{$e} && $paged{$e};
	}
} elsif ($what eq 'core-example') {
	my ($code) = slurp("$man/l3l2q_core.7") =~ /^\.EX\n(.*?)^\.EE$/sm;

	$code =~ s/\\-/-/g;
	print $code;
} elsif ($what eq 'hpp-example') {
	my ($code) = slurp("$man/l3l2q_hpp.7") =~ /^\.EX\n(.*?)^\.EE$/sm;

	$code =~ s/\\-/-/g;
	$code =~ s/\\e/\\/g;
	print $code;
} elsif ($what eq 'readme') {
	my $readme = slurp('README.md');
	my $example = slurp('libuser/examples/hello.c');
	my ($quoted) = $readme =~ /^```c\n(.*?)^```$/sm;

	print "README.md has no block of C\n" unless defined $quoted;
	print "README.md does not have libuser/examples/hello.c as it is\n"
		if defined $quoted && $quoted ne $example;
} elsif ($what eq 'names') {
	my ($files, $sources) = ("\n", '');

	require File::Find;
	File::Find::find({ no_chdir => 1, wanted => sub {
		return unless -f $_;
		$files .= "$_\n";
		$sources .= slurp($_) if /\.(c|h|hpp|cc|py|sh)$/;
	} }, qw(README.md .ci .github driver libuser selftests uapi));
	# A function may be without its prefix; what is built, and what is of the system, is not in the tree.
	for my $paper (glob('README.md .github/*.md libuser/packaging/README.md uapi/protocol.md')) {
		for my $name (slurp($paper) =~ /`([^`\n]+)`/g) {
			my $found = 1;

			if ($name =~ /^(?:\w+::)*(\w+)\(\)$/) {
				my $function = $1;

				$found = $sources =~ ($function =~ /^_/ ? qr/\w$function\b/ : qr/\b$function\b/);
			} elsif ($name =~ m{^[\w.-][\w./-]*(?:\.(?:c|h|hpp|cc|py|pl|sh|md|map|[1347])|/)$} && $name !~ m{^build/}) {
				$found = $files =~ ($name =~ m{/$} ? qr{[\n/]\Q$name\E} : qr{[\n/]\Q$name\E\n});
			}
			print "$paper: there is no $name\n" unless $found;
		}
	}
}
EOF
}

# Links are followed from the directory that holds man3.
tree=$(mktemp -d "${TMPDIR:-/tmp}/l3l2q-man.XXXXXX") || exit 1
trap 'rm -rf "$tree"' EXIT
for section in 1 3 4 7; do
	ln -s "$top/libuser/man" "$tree/man$section"
done
mkdir "$tree/examples"

# run_examples: prints what does not compile, or does not exit with 0
run_examples() {
	local source program level language

	compare hpp-example >"$tree/examples/l3l2q_hpp.cc"
	env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL "${MAKE:-make}" -s lib >/dev/null || return
	for source in "$tree"/examples/*.c* libuser/examples/*.c*; do
		# checks/freestanding.sh and lib_aicpu.c have this one
		[ "$source" != libuser/examples/aicpu.c ] || continue
		program=$tree/examples/$(basename "${source%.*}")
		case $source in
		*.cc) language=("${CXX:-g++}" -std=c++17 -Ilibuser/include/l3l2q/simpler/g2) ;;
		*) language=("${CC:-cc}" -std=c11) ;;
		esac
		for level in -O0 -O2; do
			"${language[@]}" $level -Wall -Wextra -Werror -D_GNU_SOURCE -Ilibuser/include -Iuapi \
				-o "$program" "$source" build/lib/libl3l2q.a -lpthread || continue
			timeout 30 "$program" </dev/null >"$program.out" 2>&1 ||
				{ echo "$source at $level: exit $?"; cat "$program.out"; }
		done
	done
}

# compile_core: prints what is wrong with the example of l3l2q_core(7), as C and as C++
compile_core() {
	compare core-example >"$tree/core.c"
	"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -Ilibuser/include -Iuapi \
		-c -o "$tree/core.o" "$tree/core.c"
	"${CXX:-g++}" -x c++ -std=c++17 -O2 -Wall -Wextra -Werror -ffreestanding -Ilibuser/include -Iuapi \
		-c -o "$tree/core.o" "$tree/core.c"
}

# compile_orchestration: prints what is wrong with the commands of l3l2q-simpler(7)
compile_orchestration() {
	local commands

	mkdir -p "$tree/include" "$tree/pkgconfig"
	ln -s "$top"/libuser/include/* "$top"/uapi/linux "$tree/include"
	sed "s|@PREFIX@|$tree|; s|@INCLUDEDIR@|$tree/include|; s|@VERSION@|0|" \
		libuser/l3l2q-core.pc.in >"$tree/pkgconfig/l3l2q-core.pc"
	commands=$(sed -n '/^\.SH SYNOPSIS/,/^\.SH DESCRIPTION/s/^\\fB\(simpler=\|g++ \)/\1/p' libuser/man/l3l2q-simpler.7 |
		sed 's/\\f[BIP]//g; s/\\-/-/g')
	[ -n "$commands" ] || echo "no command in the synopsis"
	(cd "$tree" && cp "$top/libuser/examples/orchestration.cc" . &&
		export PKG_CONFIG_PATH="$tree/pkgconfig" && eval "$commands")
	[ -s "$tree/orchestration.o" ] || echo "no object: $commands"
}

# run_dying: the event loop of epoll.c ends when its worker dies, after whatever it has sent
run_dying() {
	local n out st

	for n in 0 2; do
		st=0
		out=$(timeout 60 "$tree/examples/epoll" memfd $n </dev/null 2>"$tree/examples/said") || st=$?
		if [ $st != 1 ] || ! grep -q 'connection abort' "$tree/examples/said"; then
			echo "epoll memfd $n: exit $st"
			cat "$tree/examples/said"
		fi
		case $n:${out//$'\n'/,} in
		0: | 2: | 2:1 | 2:1,4) ;;
		*) echo "epoll memfd $n printed $out" ;;
		esac
	done
}

echo "TAP version 13"
tap "each function has its page, with the header's prototype" "$(compare prototypes 2>&1)"
tap "header and pages name the same errors" "$(compare errors 2>&1)"
tap "what is exported is declared, and the reverse" "$(compare exports 2>&1)"
tap "core.h and l3l2q_core(7) name the same calls and errors" "$(compare core 2>&1)"
tap "the example of l3l2q_core(7) compiles without a warning" "$(compile_core 2>&1)"
if command -v pkg-config >/dev/null; then
	tap "an orchestration compiles by the commands of l3l2q-simpler(7)" "$(compile_orchestration 2>&1)"
else
	skip "an orchestration compiles by the commands of l3l2q-simpler(7)" "no pkg-config"
fi
tap "each ioctl is in l3l2q-driver(4), and the reverse" "$(compare ioctls 2>&1)"
tap "each tracepoint is in l3l2q-driver(4), with its fields, and the reverse" "$(compare tracepoints 2>&1)"
tap "each module parameter is in l3l2q-driver(4), and the reverse" "$(compare parameters 2>&1)"
tap "each option of l3l2q-stream is in its page, and the reverse" "$(compare options 2>&1)"
tap "README.md quotes hello.c" "$(compare readme 2>&1)"
tap "functions, files and folders that README.md and the other papers name are there" "$(compare names 2>&1)"
EXAMPLES=$tree/examples
export EXAMPLES
tap "each page of section 3 has an example" "$(compare examples 2>&1)"
tap "examples compile without a warning and run over memfd" "$(run_examples 2>&1)"
tap "the event loop ends when the worker dies" "$(run_dying 2>&1)"

if command -v groff >/dev/null; then
	tap "pages render without a warning" "$(
		cd "$tree" || exit
		for page in "$top"/libuser/man/*.[1347]; do
			groff -I . -man -Tutf8 -ww "$page" 2>&1 >/dev/null
		done)"
else
	skip "pages render without a warning" "no groff (package groff-base)"
fi
tap "each page has its licence" "$(grep -L '^\.\\" SPDX-License-Identifier: MIT$' libuser/man/*.[1347])"

echo "1..$n"
[ "$failed" = 0 ]
