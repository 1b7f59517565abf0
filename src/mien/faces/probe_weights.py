"""Weights of `probes`, int8 in base 85, as `benchmarks/measure_fit.py` wrote them.

Fitted on portraits of `photos` and `official` (works of the US government) and rendered heads, bare, spoilt,
dressed, masked, with shut eyes, and drawn; see there.
"""

# Masks: 380 with, 2256 without, of 799 people.
MASK = (
    "_2dC9{Pyb$_x1n#{{Z{<_vQZ#|MBz&`{maO>LL2__4e=q+$9G30U`1C`|tP?4EqG`v-T_e7AN@n_#ff>E%om3LQeNA{?_pS^YR7e"
    "?(nY`<Odh-#PinZ901_->GSXc@9yvA8TR|$EdnJ7`U)845hCaG^y~NXNni3b`S|-n1N7q^_4xJz@DTLP@c04;`{gGb58w6l_8tuO"
    "@Z{n2_3iTd`|I}cQUwG38Ta1o-Q@=H@B`lb(e&@r?)dK8Kl|$A_|NzI5A65&=HcP+>Nf=Lt=sYL4)*``@Y5OL>HRL?>hl)v;T`J|"
    "`3Cy)7TMkQ^6LfiMgR#q12X$W`w!M3^ws(J@DBg@`TGC!|IQ8s9q{Ac+w=kG==ARn>=^O<@%I4WJoESV{`%SLrt}X4_VV=<_X7Rz"
    "9Q63<ry=hS8Q=OP3l;Ug&+H072NeJL=MM1kBmd~_;miro<1YsGz3nLa+THaN00z4G7Y6q=<QCOfC&C0L1NHwT`0w)q@e=#|`u`IB"
    "^Ck!Q9OwuBBNo^U{QxWPQBwBx;uH$`5Ew4`^W6I;DgW!+)(G515D^9h)l203?iBCk^86h?f9U_^`tR%G2Kd}q+U?>l1nM&J2}?)e"
    "@8I%8xD^6z!U5Cw=IKF08b0go^i4DL-1YPa^y%+E^5Xq3{u}f5_$&|k@hArB7aR`u00SX1K>N`l`S>0F1Oe^+@(Lpm^Yi{4I^hWs"
    "E%WdQ+UNuI8SMQ4;Oq=4*YWM-6g4gUW8^(L)dB>{;Pt);2kqqJRQU0^3GVhC3hYATWiinCoB<l>2j~|K2wF<-A?Wt?>+SLK2;V#p"
)
MASK_SCALE = 0.00510598
MASK_BIAS = 1.0690

# Shut eyes: 422 with, 1760 without, of 759 people.
SHUT_EYES = (
    "{_FrK008*(`Tzs{1_$&C`TY0#Jpljs5EJSF8~X(d?Dz%m8r<anCG-IX6hi~`FZmuG_&oOd@J9*-==d7{|Mn611p(v{{s;{I1O*NL"
    "-vId%3kClf{tEa5^$HE>>hUHK5%T=_A^Zpu`UMs30|fl_AovP5(g*h&?<V^H0q_zq`up++@&O6<0{i|0=Jxdk5d#q(_XqV4_z4mT"
    ">h&oa64Cee5%>!D_x%F*{RQ&$9Rc?MzYEq0<n-_R2;~YO`1khs`TqR#|M=?({rdg=Ap-ym0uc8X{16iX@AeZ17|!tn1NRB?0sH;?"
    "^#t(y`VaE=>mtYe{_^(u2>Am8`uqCq3H|^00RQ6x0|p5H9tiT@7Z3yy|M?5)0r~^_{@d#n0rCC%01g57@&@_+^7{Px_x;HO3itsE"
    "0}1=~1_cD}@%;w-{0Z&){|pBJ<q7%R-1!>&1@izN4g>=k^6Tj80Qu?y`{)e%01W~J{Ot_|2s*G5000;&{rdvb_4)Ay@%;1h_4M2J"
    "0{r#@1P>MB7!36M0RQpT8WI2N69(h_`tbJt_w)St>lpI=8U*zG|L^Y@+5!9b{}ulj1OWH-`uqd<`vLU`1oZm;{Q?*90}Jo`9QFMe"
    ";{*=z00r*%^7#Jt5B~z^Cg>X#^Aqs`4=o!2@h%_u3G)Z>4*>-b{|f{A{{#^S+zj^y5%%f?7zY0b@*D>B@cIZG2nziZ4(ApM2nGV{"
    "+y(mn4D}Zx3JV1c`G4R94*v`d|NQ?0@&gI+`~3d^;`;m@5)vT~7Yg_e^#leK_7Nf<`RVuz*ZK_s|NQ{=@C5Ds4D<%_>;)zC^CA8J"
    "4f_J|`up|${{8;&`}pw&3j78L6%7sn1pfF8`~d|L1Q-(v`r7pc;{Eys_4N4n^$PC!5cmJ}<QNz3`1kqy2>ANS`~ds=5&i!5{r~0z"
    "4Fd`T1qJcy;rRUp{_*?p3=I9}`Ox?P`UK_x=lJ~i^ZonvBk%_L=mzum1^NK{0tWcK3kd=F2mJ&3{0rdy1_lTO`u_Fv&H)Pf0Q2(-"
    "4IcUk<=pb-{tMLv=>ZA&0{s>OBJU9a<p9$D1po^v|NQ*0`1$V%?EU%j`1SVn`Stk*3k3`UC;;^R{098#HUj|X4+-}U=JWFV|Nrs#"
    "^Z)PoBL4yM|Nk!Z`uYI-"
)
SHUT_EYES_SCALE = 0.00807437
SHUT_EYES_BIAS = 3.3537

# Drawings: 232 with, 1462 without, of 499 people.
DRAWING = "3=-={HYf`Y>GL-f5(@O(1}_un?FQ=V3JwAC<=Gug@E+Cbs(<0?%}EUu$mRnwyyKnP0T{vH`nfCkgR{t)"
DRAWING_SCALE = 0.029333
DRAWING_BIAS = -3.7249
